"""Melodies over a progression: phrases from one rhythmic motif, chord tones on strong beats, steps between.

Pure functions of their arguments. Positions are in felt beats; the caller turns them into seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ._progressions import QUALITIES

__all__ = ["LEADS", "Tone", "write_melody"]

#: General MIDI programs that carry a tune.
LEADS = (0, 4, 11, 12, 22, 24, 26, 27, 40, 42, 56, 59, 64, 65, 66, 68, 71, 73, 75, 80, 81, 104, 110)

_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
# Cells of one beat: (start, length) in parts of the beat.
_CELLS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.0, 1.0),),
    ((0.0, 0.5), (0.5, 0.5)),
    ((0.0, 0.75), (0.75, 0.25)),
    ((0.5, 0.5),),
    ((0.0, 0.25), (0.25, 0.25), (0.5, 0.5)),
    ((0.0, 1 / 3), (1 / 3, 1 / 3), (2 / 3, 1 / 3)),
    (),
)


@dataclass(frozen=True)
class Tone:
    """A note of a melody: start and length in felt beats, MIDI pitch, velocity."""

    start: float
    length: float
    pitch: int
    velocity: int


def _motif(beats: int, busy: float, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Starts and lengths of two bars; the last beat rests, so that the phrase breathes."""
    chances = np.array([3.0, 3.0 * busy, 1.5, 1.0, 1.2 * busy, 0.4 * busy, 1.2])
    found: list[tuple[float, float]] = []
    for beat in range(2 * beats - 1):
        cell = _CELLS[rng.choice(len(_CELLS), p=chances / chances.sum())]
        found += [(beat + at, length) for at, length in cell]
    # a note may be held over a silent beat
    return [
        (at, min(2.0, following - at) if rng.random() < 0.5 else length)
        for (at, length), following in zip(found, [at for at, _ in found[1:]] + [2.0 * beats], strict=False)
    ]


def _near(able: Sequence[int], pitch: int, rng: np.random.Generator) -> int:
    """A pitch of the given classes near another one."""
    wanted = pitch + int(np.clip(round(rng.normal(0, 3)), -7, 7))
    choices = [p for p in range(55, 89) if p % 12 in able]
    return min(choices, key=lambda p: (abs(p - wanted), p))


def write_melody(
    bars: Sequence[Sequence[tuple[float, int, str]]], beats: int, tonic: int, mode: str, rng: np.random.Generator
) -> list[Tone]:
    """Write a melody.

    Parameters
    ----------
    bars
        Of each bar the chords as (felt beat it starts on, root pitch class, MMA chord type).
    beats
        Felt beats in a bar.
    tonic, mode
        Key: pitch class, and "major" or "minor".
    rng
        Chooses.

    Returns
    -------
    list of Tone
        In order of time, never two at once; about one phrase of two bars in four is silent.
    """
    scale = [(tonic + step) % 12 for step in (_MAJOR if mode == "major" else _MINOR)]
    busy = float(rng.uniform(0.3, 1.4))
    motifs = [_motif(beats, busy, rng) for _ in range(2)]
    pitch, tones = int(rng.integers(64, 79)), []
    for phrase in range(0, len(bars), 2):
        if rng.random() < 0.25:
            continue
        motif = motifs[int(rng.random() < 0.35)] if rng.random() < 0.8 else _motif(beats, busy, rng)
        for at, length in motif:
            bar = phrase + int(at // beats)
            if bar >= len(bars):
                break
            within = at - (at // beats) * beats
            _, root, kind = [chord for chord in bars[bar] if chord[0] <= within + 1e-6][-1]
            chord = [(root + step) % 12 for step in QUALITIES[kind][1]]
            strong = within == int(within) or length >= 1.0
            able = chord if strong or rng.random() < 0.3 else sorted({*scale, *chord})
            pitch = int(np.clip(_near(able, pitch, rng), 57, 86))
            accent = 12 if within == 0 else 6 if strong else 0
            velocity = int(np.clip(78 + accent + rng.normal(0, 6), 50, 120))
            tones.append(Tone(phrase * beats + at, 0.92 * length, pitch, velocity))
    return tones
