"""Accompaniment: does the model find the harmony of a bass that it hears, without being told?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from clips import Clip, digest, place
from material import Song, spread
from plots import pairs
from scores import chord_share, paired
from study import Finding, Study

from jackdaw.engine.training._mma import Event, Note
from jackdaw.engine.training._progressions import PROGRESSIONS, QUALITIES, Progression
from jackdaw.engine.training._render import SAMPLE_RATE, render

__all__ = ["measure"]

BASS = 33
STEPS = {"maj": (0, 4, 7, 4), "min": (0, 3, 7, 3), "dim": (0, 3, 6, 3)}
FADE_IN_S = 4.0
Told = tuple[tuple[float, float, int, str], ...]


def _shape(quality: str) -> tuple[int, ...]:
    return STEPS["min" if quality.startswith("min") else "dim" if "dim" in quality else "maj"]


def _line(progression: Progression, shift: int, bpm: float, seconds: float) -> tuple[list[Note], Told]:
    """A bass that walks root, third, fifth, third, a note a beat, four in a bar; and its chords."""
    beat = 60.0 / bpm
    notes: list[Note] = []
    told: list[tuple[float, float, int, str]] = []
    for number in range(int(seconds / (4 * beat)) + 1):
        bar = progression.bars[number % len(progression.bars)]
        for k in range(4):
            root, kind = bar[k * len(bar) // 4]
            root, quality = (root + shift) % 12, QUALITIES[kind][0]
            start = (4 * number + k) * beat
            pitch = 28 + (root - 4) % 12 + _shape(quality)[k % (4 // len(bar))]
            notes.append(Note(start, start + 0.92 * beat, pitch, 0, BASS, 100))
            if told and told[-1][2:] == (root, quality) and told[-1][1] == start:
                told[-1] = (told[-1][0], start + beat, root, quality)
            else:
                told.append((start, start + beat, root, quality))
    return notes, tuple(told)


def _bass(path: Path, notes: list[Note], seconds: float) -> Path:
    if not path.exists():
        events = [Event(0.0, 0xC0, 0, BASS, 0)]
        sound = render([notes], events, seconds, "FluidR3_GM", 0.2, 0.1)[0][: round(seconds * SAMPLE_RATE)]
        place(path, 0.4 * sound / np.abs(sound).max(), SAMPLE_RATE)
    return path


def _suited(study: Study) -> dict[str, list[Song]]:
    """For each pool of progressions the training songs in four that take theirs from it."""
    pools = {progression.text: progression.pool for progression in PROGRESSIONS}
    found: dict[str, list[Song]] = {}
    for song in study.songs:
        if song.split == "train" and song.beats_per_bar == 4:
            found.setdefault(pools[song.labels["progression"]], []).append(song)
    return found


def measure(study: Study) -> Finding:
    """Play a bass to the model, and the same to a deaf one; compare what both play with the right chords."""
    seconds = study.count(16, 10)
    rng = np.random.default_rng(6)
    suited = _suited(study)
    held = [progression for progression in PROGRESSIONS if progression.held and progression.pool in suited]
    told, clips = [], []
    tick = study.counter("accompaniment: basses", study.count(36, 6))
    for number in range(study.count(36, 6)):
        progression = held[number % len(held)]
        able = suited[progression.pool]
        style = able[int(rng.integers(len(able)))]
        shift, bpm = int(rng.integers(12)), round(style.bpm * float(rng.uniform(0.9, 1.1)), 1)
        notes, chords = _line(progression, shift, bpm, seconds)
        path = study.out / "real" / f"bass-{number:02d}-{progression.pool}-{shift}-{bpm:g}-{seconds}.flac"
        path = _bass(path, notes, seconds)
        told.append(chords)
        for hear in (True, False):
            clips.append(
                Clip(
                    name=f"{number:02d}-{'hears' if hear else 'deaf'}",
                    seconds=seconds,
                    seed=400 + number,
                    prompt=style.family,
                    heard=str(path),
                    heard_digest=digest(path),
                    hear=hear,
                )
            )
        tick(1)
    files = study.clips("accompaniment", clips)
    chroma = study.verdicts("accompaniment", "chroma", files)
    shares = [
        (chord_share(chords, one, after=FADE_IN_S), chord_share(chords, other, after=FADE_IN_S))
        for chords, one, other in zip(told, chroma[::2], chroma[1::2], strict=True)
    ]
    known = [(one, other) for one, other in shares if one is not None and other is not None]
    gain, p = paired([one for one, _ in known], [other for _, other in known]) if known else (None, None)
    songs = spread([s for s in study.held_out() if s.seconds >= seconds], study.count(36, 6))
    starts = [song.bar_after(5.0, seconds) for song in songs]
    real = [study.excerpt(song, start, seconds) for song, start in zip(songs, starts, strict=True)]
    ceiling = [
        chord_share(song.chords(start, seconds), rows, after=FADE_IN_S)
        for song, start, rows in zip(songs, starts, study.verdicts("accompaniment: real", "chroma", real), strict=True)
    ]
    truth = float(np.mean([share for share in ceiling if share is not None]))
    table: list[tuple[object, ...]] = [("style", "chords", "hears", "deaf")]
    for clip, (one, other), chords in zip(clips[::2], shares, told, strict=True):
        line = " ".join(f"{root}:{quality}" for _, _, root, quality in chords[:8])
        table.append((clip.prompt, line, one, other))
    means = [float(np.mean(side)) for side in zip(*known, strict=True)] if known else [None, None]
    return Finding(
        "Accompaniment",
        f"{len(told)} pairs of clips of {seconds} s: the model hears a bass that walks through a progression it never"
        " trained on (no clock and no chords are given), or, with the same seed, nothing. Share of madmom's chroma of"
        f" what it plays, from {FADE_IN_S:g} s on, that lies on the tones of the right triad; 0.25 is blind chance."
        " Wilcoxon's signed-rank test, one-sided.",
        figures={
            "accompaniment_gain": gain,
            "accompaniment_p": p,
            "accompaniment_share": means[0],
            "accompaniment_share_deaf": means[1],
        },
        rows=[
            ("share of chroma on the chord, hearing", means[0], round(truth, 4)),
            ("the same, deaf", means[1], None),
            ("gain", gain, None),
            ("p", p, None),
        ],
        detail=table,
        plots=[pairs([b for _, b in known], [a for a, _ in known], ("deaf", "hears"))] if known else [],
        players=[
            pair
            for i in range(0, min(6, len(clips)), 2)
            for pair in (
                ("what it hears", Path(clips[i].heard)),
                (f"{clips[i].prompt}, hearing", files[i]),
                ("deaf", files[i + 1]),
            )
        ],
    )
