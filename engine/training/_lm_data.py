"""Sequences for the language model: codes, what steers them, and what their history suffers.

Reads the corpus' labels, the tokens and the style embeddings; writes nothing. A batch depends on the generator it is
given and on nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from jackdaw.engine.models.contract import Chord, Clock
from jackdaw.engine.models.tiny_lm import CHORD_DIMS, CLOCK_DIMS, CONDITION_SIZE, NOTHING, STYLE_DIMS, condition
from jackdaw.engine.models.tiny_style import WordPieces, embed_text
from jackdaw.engine.weights.tensors import read_tree

__all__ = ["Batch", "Song", "fixed_batch", "load_songs", "random_batch"]

_FRAME_SECONDS = 0.04
_QUALITIES: Mapping[str, str] = {
    "maj": "maj", "maj6": "maj", "sus4": "maj", "min": "min", "min6": "min", "7": "7", "9": "7", "maj7": "maj7",
    "min7": "min7", "dim": "dim", "hdim7": "dim", "dim7": "dim",
}  # fmt: skip
"""Chord qualities of the corpus' labels, as the model knows them."""


@dataclass(frozen=True)
class Song:
    """One song, ready for training.

    Parameters
    ----------
    name, split, family
        From its labels.
    codes
        int16 (frames, levels).
    steering
        float16 (frames, CLOCK_DIMS + CHORD_DIMS).
    captions, excerpts
        float32 (count, 128): embeddings of its captions and of excerpts of its audio.
    """

    name: str
    split: str
    family: str
    codes: NDArray[np.int16]
    steering: NDArray[np.float16]
    captions: NDArray[np.float32]
    excerpts: NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """Arrays of :func:`jackdaw.engine.models.tiny_lm.forward`, batch first; JAX arrays inside a compiled step."""

    played: Any
    cond: Any
    target: Any


def _steering(labels: Mapping[str, Any], frames: int) -> NDArray[np.float16]:
    """Musical time and chord of every frame, zero where the labels say nothing."""
    beats = np.asarray(labels["beats"])
    size = int(labels["beats_per_bar"])
    out = np.zeros((frames, CONDITION_SIZE), np.float32)
    chords = labels["chords"]
    starts = np.array([chord[0] for chord in chords])
    for frame in range(frames):
        time = frame * _FRAME_SECONDS
        index = int(np.searchsorted(beats, time, side="right")) - 1
        clock = chord = None
        if 0 <= index < len(beats) - 1:
            phase = (time - beats[index]) / (beats[index + 1] - beats[index])
            clock = Clock(bpm=float(labels["tempo_bpm"]), beat=index % size + float(phase), beats_per_bar=size)
        # A chord that begins within the frame is the frame's chord if it has the larger part of it.
        which = int(np.searchsorted(starts, time + _FRAME_SECONDS / 2, side="right")) - 1
        if which >= 0 and time < chords[which][1]:
            chord = Chord(root=int(chords[which][2]), quality=_QUALITIES[chords[which][3]])
        out[frame] = condition(clock=clock, chord=chord)
    return out[:, STYLE_DIMS:].astype(np.float16)


def load_songs(corpus: Path, tokens: Path, styles: Path) -> list[Song]:
    """Load every song that has tokens and styles.

    Raises
    ------
    FileNotFoundError
        If there are none.
    """
    text = read_tree(styles / "tiny_style.safetensors")[0]["text"]
    pieces = WordPieces((styles / "tiny_style.vocab.txt").read_text(encoding="utf-8").splitlines())
    songs = []
    for path in track(sorted(tokens.glob("[0-9]*.npy")), description="songs"):
        labels = json.loads((corpus / "songs" / f"{path.stem}.json").read_text())
        excerpts = styles / "styles" / path.name
        if not excerpts.exists():
            continue
        codes = np.load(path)
        captions = np.stack([embed_text(text, pieces, caption) for caption in labels["captions"]])
        songs.append(
            Song(path.stem, labels["split"], labels["family"], codes, _steering(labels, len(codes)), captions,
                 np.load(excerpts))
        )  # fmt: skip
    if not songs:
        raise FileNotFoundError(f"no song has tokens in {tokens} and styles in {styles / 'styles'}: make both first")
    return songs


def _cut(song: Song, start: int, frames: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Target and conditions (without style) of a stretch."""
    target = song.codes[start : start + frames].astype(np.int32)
    cond = np.zeros((frames, CONDITION_SIZE), np.float32)
    cond[:, STYLE_DIMS:] = song.steering[start : start + frames]
    return target, cond


def _shifted(target: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.concatenate([np.full_like(target[:, :1], NOTHING), target[:, :-1]], axis=1)


def _stretch(frames: int, rng: np.random.Generator) -> slice:
    length = int(rng.integers(5, frames // 3))
    start = int(rng.integers(1, frames - length))
    return slice(start, start + length)


def _spoil(played: NDArray[np.int32], settings: Mapping[str, Any], codebook: int, rng: np.random.Generator) -> None:
    """Put into the histories what a live stream may bring: foreign music, coarse description, single wrong codes."""
    clean = played.copy()
    count, frames, levels = played.shape
    for row in range(count):
        if rng.random() < settings["foreign"]:
            where = _stretch(frames, rng)
            played[row, where] = clean[(row + 1) % count, where]
        if rng.random() < settings["coarse"]:
            where, level = _stretch(frames, rng), int(rng.integers(1, levels))
            played[row, where, level:] = rng.integers(codebook, size=played[row, where, level:].shape)
        if rng.random() < settings["scatter"]:
            wrong = rng.random((frames - 1, levels)) < rng.uniform(0.0, 0.15)
            played[row, 1:][wrong] = rng.integers(codebook, size=int(wrong.sum()))


def random_batch(songs: Sequence[Song], settings: Mapping[str, Any], codebook: int, rng: np.random.Generator) -> Batch:
    """Draw a training batch: random songs and places, parts of the conditions dropped, histories spoilt."""
    frames = settings["frames"]
    targets: list[NDArray[np.int32]] = []
    conds: list[NDArray[np.float32]] = []
    while len(targets) < settings["batch"]:
        song = songs[int(rng.integers(len(songs)))]
        if len(song.codes) < frames:
            continue
        target, cond = _cut(song, int(rng.integers(len(song.codes) - frames + 1)), frames)
        pool = song.excerpts if rng.random() < settings["audio_style"] else song.captions
        style = pool[int(rng.integers(len(pool)))]
        style = style + rng.normal(0.0, settings["style_noise"] / np.sqrt(len(style)), len(style)).astype(np.float32)
        if rng.random() >= settings["drop_style"]:
            cond[:, :STYLE_DIMS] = condition(style / np.linalg.norm(style))[:STYLE_DIMS]
        nothing = rng.random() < settings["drop_all"]
        if nothing or rng.random() < settings["drop_clock"]:
            cond[:, STYLE_DIMS : STYLE_DIMS + CLOCK_DIMS] = 0.0
        if nothing or rng.random() < settings["drop_chord"]:
            cond[:, -CHORD_DIMS:] = 0.0
        targets.append(target)
        conds.append(cond)
    target = np.stack(targets)
    played = _shifted(target)
    _spoil(played, settings, codebook, rng)
    return Batch(played, np.stack(conds), target)


def fixed_batch(songs: Sequence[Song], frames: int, *, steered: bool) -> Batch:
    """Middles of songs with their style in words; with musical time and chords if `steered`; nothing spoilt."""
    targets, conds = [], []
    for song in songs:
        target, cond = _cut(song, (len(song.codes) - frames) // 2, frames)
        if not steered:
            cond[:] = 0.0
        cond[:, :STYLE_DIMS] = condition(song.captions[-1])[:STYLE_DIMS]
        targets.append(target)
        conds.append(cond)
    target = np.stack(targets)
    return Batch(_shifted(target), np.stack(conds), target)
