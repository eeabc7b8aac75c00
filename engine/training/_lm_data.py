"""Sequences for the language model: codes, what steers them, and what their history suffers.

Reads the corpus' labels, the tokens and the style embeddings; writes nothing. A batch depends on the generator it is
given and on nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from jackdaw.engine.models.contract import Clock
from jackdaw.engine.models.tiny_lm import (
    BAND_DIMS,
    CHORD_DIMS,
    CLOCK_DIMS,
    CONDITION_SIZE,
    LED_DIMS,
    NOTE_DIMS,
    NOTES,
    NOTHING,
    STYLE_DIMS,
    band_features,
    chord_features,
    clock_features,
    note_features,
    style_features,
)
from jackdaw.engine.models.tiny_style import WordPieces, embed_text
from jackdaw.engine.training._lexicon import sayings
from jackdaw.engine.training._progressions import labelled_chord
from jackdaw.engine.weights.tensors import read_tree

__all__ = ["Batch", "Song", "fixed_batch", "load_songs", "random_batch"]

_FRAME_SECONDS = 0.04
_SAYINGS = 5, 2
"""Other words for a song's family, and for its group."""


@dataclass(frozen=True)
class Song:
    """One song, ready for training.

    Parameters
    ----------
    name, split, family
        From its labels.
    codes
        int16 (1 or 3, frames, levels): of the mix, of what is heard, and of what is played to it.
    timed
        float16 (frames, CLOCK_DIMS + CHORD_DIMS): musical time and chords.
    notes
        Of each part its notes, float32 (count, 3): start and end in frames, MIDI pitch.
    played
        Names of the parts that play to what is heard; empty if the song is not divided.
    energy
        float32 (frames,): level of the mix in dBFS over a second.
    captions, excerpts
        float32 (count, 128): embeddings of those of its captions that are true of it, and of excerpts of its audio.
    """

    name: str
    split: str
    family: str
    codes: NDArray[np.int16]
    timed: NDArray[np.float16]
    notes: Mapping[str, NDArray[np.float32]]
    played: tuple[str, ...]
    energy: NDArray[np.float32]
    captions: NDArray[np.float32]
    excerpts: NDArray[np.float32]

    @property
    def frames(self) -> int:
        """Length."""
        return self.codes.shape[1]


class Batch(NamedTuple):
    """Arrays of :func:`jackdaw.engine.models.tiny_lm.forward`, batch first; JAX arrays inside a compiled step."""

    played: Any
    heard: Any
    cond: Any
    target: Any


def _timed(labels: Mapping[str, Any], frames: int) -> NDArray[np.float16]:
    """Musical time and chord of every frame, zero where the labels say nothing."""
    beats = np.asarray(labels["beats"])
    size = int(labels["beats_per_bar"])
    out = np.zeros((frames, CLOCK_DIMS + CHORD_DIMS), np.float32)
    chords = labels["chords"]
    starts = np.array([chord[0] for chord in chords])
    for frame in range(frames):
        time = frame * _FRAME_SECONDS
        index = int(np.searchsorted(beats, time, side="right")) - 1
        if 0 <= index < len(beats) - 1:
            phase = (time - beats[index]) / (beats[index + 1] - beats[index])
            clock = Clock(bpm=float(labels["tempo_bpm"]), beat=index % size + float(phase), beats_per_bar=size)
            out[frame, :CLOCK_DIMS] = clock_features(clock)
        # A chord that begins within the frame is the frame's chord if it has the larger part of it.
        which = int(np.searchsorted(starts, time + _FRAME_SECONDS / 2, side="right")) - 1
        if which >= 0 and time < chords[which][1]:
            chord = labelled_chord(int(chords[which][2]), chords[which][3])
            out[frame, CLOCK_DIMS:] = chord_features(chord)
    return out.astype(np.float16)


def _notes(labels: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Of each part its notes; the part is the last entry of a note's row."""
    found = {}
    for part in labels["parts"]:
        rows = [(n[0], n[1], n[2]) for n in labels["notes"] if n[-1] == part]
        notes = np.array(rows, np.float32).reshape(-1, 3)
        notes[:, :2] /= _FRAME_SECONDS
        found[part] = notes
    return found


def _energy(labels: Mapping[str, Any], frames: int) -> NDArray[np.float32]:
    """Mean power of a second, up to now, in dBFS."""
    power = 10 ** (np.array(labels["energy_db"], float) / 10)
    power = np.pad(power, (0, max(0, frames - len(power))))[:frames]
    sums = np.cumsum(np.concatenate([np.full(25, power[0]), power]))
    return (10 * np.log10((sums[25:] - sums[:-25]) / 25 + 1e-10)).astype(np.float32)


def _true(labels: Mapping[str, Any]) -> list[str]:
    """Captions; of a solo or a duo those alone that say so: a style's bare name is to mean a full band.

    Of a band also some of what people say instead of its style's name.
    """
    version, captions = labels["version"], labels["captions"]
    if version != "full":
        return [caption for caption in captions if caption.startswith(f"{version} ")]
    rng = np.random.default_rng(int(labels["id"]))
    return [*captions, *sayings(labels["family"], labels["style_group"], *_SAYINGS, rng)]


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
        excerpts = styles / "styles" / path.name
        if not excerpts.exists():
            continue
        labels = json.loads((corpus / "songs" / f"{path.stem}.json").read_text())
        codes = np.load(path)
        frames = codes.shape[1]
        songs.append(
            Song(
                name=path.stem,
                split=labels["split"],
                family=labels["family"],
                codes=codes,
                timed=_timed(labels, frames),
                notes=_notes(labels),
                played=tuple(json.loads(path.with_suffix(".json").read_text())["played"]),
                energy=_energy(labels, frames),
                captions=np.stack([embed_text(text, pieces, caption) for caption in _true(labels)]),
                excerpts=np.load(excerpts),
            )
        )
    if not songs:
        raise FileNotFoundError(f"no song has tokens in {tokens} and styles in {styles / 'styles'}: make both first")
    return songs


def _shifted(codes: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.concatenate([np.full_like(codes[:1], NOTHING), codes[:-1]])


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


def _asked(notes: NDArray[np.float32], start: int, frames: int) -> NDArray[np.float32]:
    """Note features of a stretch in which these notes are asked for."""
    out = np.zeros((frames, NOTE_DIMS), np.float32)
    out[:, 0] = 1.0
    for begin, end, pitch in notes[(notes[:, 1] > start) & (notes[:, 0] < start + frames)]:
        # features of the right octave: those of one pitch alone
        row = note_features([int(pitch)], [int(pitch)])
        first, last = int(np.floor(begin)) - start, int(np.ceil(end)) - start
        out[max(0, first) : max(last, first + 1), 1 : 1 + NOTES] += row[1 : 1 + NOTES]
        if 0 <= first < frames:
            out[first, 1 + NOTES :] += row[1 + NOTES :]
    return np.minimum(out, 1.0)


def _around(notes: NDArray[np.float32], start: int, frames: int, reach: int) -> NDArray[np.float32]:
    """How many notes begin within `reach` frames of each frame of a stretch."""
    begins = np.sort(notes[:, 0])
    places = start + np.arange(frames)
    counts = np.searchsorted(begins, places + reach) - np.searchsorted(begins, places - reach)
    return np.asarray(counts, np.float32)


def _band(
    song: Song, parts: Sequence[str], start: int, frames: int, settings: Mapping[str, Any], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Notes, drums, energy and density of a stretch in which the parts play, each with a chance."""
    out = np.zeros((frames, NOTE_DIMS + BAND_DIMS), np.float32)
    tuned = [part for part in parts if part != "drums"]
    draw = rng.random(5)
    if draw[0] < settings["give_notes"] and tuned:
        asked = ["melody"] if "melody" in tuned and draw[1] < 0.5 else tuned
        asked = [str(rng.choice(tuned))] if draw[1] > 0.8 else asked
        out[:, :NOTE_DIMS] = _asked(np.concatenate([song.notes[part] for part in asked]), start, frames)
    drums = song.notes["drums"] if "drums" in parts else np.zeros((0, 3), np.float32)
    if draw[2] < settings["give_drums"]:
        playing = _around(drums, start, frames, 38) > 0
        out[:, NOTE_DIMS : NOTE_DIMS + 2] = [[1.0, 1.0 if on else -1.0] for on in playing]
    if draw[3] < settings["give_energy"] and len(parts) == len(song.notes):
        out[:, NOTE_DIMS + 2 : NOTE_DIMS + 4] = [
            band_features(energy=float(level))[2:4] for level in song.energy[start : start + frames]
        ]
    if draw[4] < settings["give_density"]:
        counts = sum(_around(song.notes[part], start, frames, 25) for part in parts) / 2.0
        out[:, NOTE_DIMS + 4 :] = [band_features(density=float(count))[4:] for count in np.atleast_1d(counts)]
    return out


_Example = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]


def _example(song: Song, start: int, frames: int, hears: bool) -> _Example:
    """Return played, heard, conditions (time and chords alone) and target of a stretch."""
    where = slice(start, start + frames)
    cond = np.zeros((frames, CONDITION_SIZE), np.float32)
    cond[:, STYLE_DIMS : STYLE_DIMS + CLOCK_DIMS + CHORD_DIMS] = song.timed[where]
    mix = song.codes[0, where].astype(np.int32)
    if not hears:
        return _shifted(mix), np.full_like(mix, NOTHING), cond, mix
    heard, own = (song.codes[k, where].astype(np.int32) for k in (1, 2))
    played = np.where(heard[:, :1] == NOTHING, own, mix)
    return _shifted(played), _shifted(heard), cond, own


def random_batch(
    songs: Sequence[Song], settings: Mapping[str, Any], count: int, codebook: int, rng: np.random.Generator
) -> Batch:
    """Draw rows of a training batch: random songs and places, parts of the conditions dropped, histories spoilt."""
    frames, rows = settings["frames"], []
    able = [song for song in songs if song.frames >= frames]
    for _ in range(count):
        song = able[int(rng.integers(len(able)))]
        start = int(rng.integers(song.frames - frames + 1))
        hears = bool(song.played) and rng.random() < settings["accompany"]
        played, heard, cond, target = _example(song, start, frames, hears)
        if hears and rng.random() < settings["joins_late"]:
            # until somebody joins, the model has been playing its part alone
            alone = int(rng.integers(1, frames))
            played[:alone], heard[:alone] = _shifted(target)[:alone], NOTHING
        parts = song.played if hears else tuple(song.notes)
        cond[:, -NOTE_DIMS - BAND_DIMS :] = _band(song, parts, start, frames, settings, rng)
        pool = song.excerpts if rng.random() < settings["audio_style"] else song.captions
        style = pool[int(rng.integers(len(pool)))]
        style = style + rng.normal(0.0, settings["style_noise"] / np.sqrt(len(style)), len(style)).astype(np.float32)
        if rng.random() >= settings["drop_style"]:
            cond[:, :STYLE_DIMS] = style_features(style / np.linalg.norm(style))
        if rng.random() < settings["drop_led"]:
            # as the row that guidance leads away from: nothing leads, and what others play is not told apart
            heard[:] = NOTHING
            cond[:, STYLE_DIMS : STYLE_DIMS + LED_DIMS] = 0.0
        if rng.random() < settings["drop_clock"]:
            cond[:, STYLE_DIMS : STYLE_DIMS + CLOCK_DIMS] = 0.0
        if rng.random() < settings["drop_chord_heard" if hears else "drop_chord"]:
            cond[:, STYLE_DIMS + CLOCK_DIMS : STYLE_DIMS + CLOCK_DIMS + CHORD_DIMS] = 0.0
        if rng.random() < settings["drop_all"]:
            # as the row that guidance leads away from while nobody tells the harmony
            heard[:], cond[:] = NOTHING, 0.0
        rows.append((played, heard, cond, target))
    batch = Batch(*(np.stack(column) for column in zip(*rows, strict=True)))
    _spoil(batch.played, settings, codebook, rng)
    return batch


def fixed_batch(songs: Sequence[Song], frames: int, *, steered: bool, hears: bool = False) -> Batch:
    """Middles of songs with their style in words; with musical time and chords if `steered`; nothing spoilt."""
    rows = []
    for song in songs:
        played, heard, cond, target = _example(song, (song.frames - frames) // 2, frames, hears and bool(song.played))
        if not steered:
            cond[:] = 0.0
        cond[:, :STYLE_DIMS] = style_features(song.captions[-1])
        rows.append((played, heard, cond, target))
    return Batch(*(np.stack(column) for column in zip(*rows, strict=True)))
