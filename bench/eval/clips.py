"""Clips: what the model plays when it is asked for something, through the model contract alone.

A clip is a file ``FOLDER/NAME-DIGEST.flac``; the digest is of the weights and of all that was asked, so a clip that
exists is never made again, and one of other weights never used. It appears whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from material import Song

from jackdaw.engine.models.contract import Audio, Chord, Clock, Controls, Model
from jackdaw.engine.training._progressions import labelled_chord

__all__ = ["Clip", "chord_at", "digest", "make", "place", "request"]

_MOMENT = 1e-6

Told = tuple[tuple[float, float, int, str], ...]
Notes = tuple[tuple[float, float, int], ...]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What is asked of the model.

    Parameters
    ----------
    name
        Of the file; unique in its folder.
    seconds, seed
        Length and randomness.
    prompt
        The style in words.
    bpm, beats_per_bar
        Of the clock, whose first beat is the first sample; None: no clock is given.
    chords
        (start s, end s, root, quality), or none.
    notes
        (start s, end s, MIDI pitch) held, or none: then nothing is said of notes.
    heard
        A file that is heard from the first sample on, and its digest; or none.
    hear
        Whether the model listens to it.
    """

    name: str
    seconds: float
    seed: int
    prompt: str
    bpm: float | None = None
    beats_per_bar: int = 4
    chords: Told = ()
    notes: Notes = ()
    heard: str = ""
    heard_digest: str = ""
    hear: bool = True
    guidance: float = 0.0


def request(song: Song, seconds: float, seed: int, **more: Any) -> Clip:
    """Return a clip in a song's style, tempo and metre."""
    return Clip(
        name=song.name,
        seconds=seconds,
        seed=seed,
        prompt=song.family,
        bpm=song.bpm,
        beats_per_bar=song.beats_per_bar,
        **more,
    )


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def chord_at(chords: Told, time: float) -> Chord | None:
    """Return the chord at a time, or None."""
    for start, end, root, quality in chords:
        if start <= time < end:
            return labelled_chord(root, quality)
    return None


def _controls(clip: Clip, base: Controls, start: float, length: float) -> Controls:
    """What steers the step that begins `start` s into the clip. A chord counts if it has the larger part of a step."""
    clock = notes = None
    if clip.bpm is not None:
        beat = start * clip.bpm / 60.0 % clip.beats_per_bar
        clock = Clock(bpm=clip.bpm, beat=beat, beats_per_bar=clip.beats_per_bar)
    if clip.notes:
        # let go a step early, so that a note that is struck again is seen to begin
        notes = frozenset(
            pitch
            for begin, end, pitch in clip.notes
            if begin < start + length - _MOMENT and (begin >= start - _MOMENT or end - length > start + _MOMENT)
        )
    return base.with_(clock=clock, chord=chord_at(clip.chords, start + length / 2), notes=notes)


def _play(model: Model, clip: Clip, tick: Callable[[float], None]) -> Audio:
    """Step the model; what it plays is cut so that sample 0 belongs to time 0."""
    spec = model.spec
    base = Controls(style=model.embed(clip.prompt), hear=clip.hear, guidance=clip.guidance)
    state = model.init(clip.seed)
    total = round(clip.seconds * spec.sample_rate)
    heard: Audio | None = None
    if clip.heard:
        sound, rate = soundfile.read(clip.heard, dtype="float32", always_2d=True)
        if rate != spec.sample_rate or sound.shape[1] != spec.channels:
            raise ValueError(f"{clip.heard} has {sound.shape[1]} channels at {rate} Hz: make it as the model's are")
        # a step hears the input of the step before it
        steps = -(-(total + spec.look_ahead) // spec.step_samples)
        size = steps * spec.step_samples
        heard = np.zeros((size, spec.channels), np.float32)
        part = sound[: size - spec.step_samples]
        heard[spec.step_samples : spec.step_samples + len(part)] = part
    pieces, at = [], 0
    while at < total + spec.look_ahead:
        controls = _controls(clip, base, at / spec.sample_rate, spec.step_seconds)
        now = None if heard is None else heard[at : at + spec.step_samples]
        state, audio = model.step(state, controls, now)
        pieces.append(audio)
        at += spec.step_samples
        tick(spec.step_seconds)
    return np.concatenate(pieces)[spec.look_ahead :][:total]


def place(path: Path, audio: Audio, rate: int) -> Path:
    """Write a FLAC that appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    soundfile.write(part, np.clip(audio, -1, 1), rate, format="FLAC", subtype="PCM_16")
    os.replace(part, path)
    return path


def make(model: Model, weights: str, clip: Clip, folder: Path, tick: Callable[[float], None]) -> Path:
    """Return the clip's file; play it if there is none.

    Parameters
    ----------
    model, weights
        The model, and the digest of its weights.
    clip, folder
        What to play, and where to put it.
    tick
        Called with seconds of music made.

    Raises
    ------
    ValueError
        If the clip's input does not fit the model.
    FloatingPointError
        If the model plays what is not a number.
    """
    asked = {name: value for name, value in asdict(clip).items() if name != "heard"}
    key = hashlib.sha256((weights + json.dumps(asked, sort_keys=True)).encode()).hexdigest()[:10]
    path = folder / f"{clip.name}-{key}.flac"
    if path.exists():
        tick(clip.seconds)
        return path
    audio = _play(model, clip, tick)
    if not np.isfinite(audio).all():
        raise FloatingPointError(f"the model played what is not a number, asked for {asked}")
    for old in folder.glob(f"{clip.name}-??????????.flac"):
        old.unlink()
    return place(path, audio, model.spec.sample_rate)
