"""Scores: what was asked for against what a judge heard. Pure functions of lists and arrays."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

__all__ = [
    "TRIADS",
    "beat_offsets",
    "chord_agreement",
    "chord_share",
    "codes_used",
    "note_f1",
    "paired",
    "pulse",
    "ratio",
    "repetition",
    "tempo_verdict",
]

Floats = NDArray[np.float64]
Told = Sequence[tuple[float, float, int, str]]
"""Chords as the corpus' labels have them: start and end in seconds, root 0 .. 11, quality."""

TRIADS = {
    "maj": "maj", "7": "maj", "maj7": "maj", "maj6": "maj", "9": "maj", "min": "min", "min7": "min", "min6": "min",
}  # fmt: skip
"""Qualities with a major or minor triad; what has none (dim, sus4, ...) is not scored."""

_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
_TONES = {"maj": (0, 4, 7), "min": (0, 3, 7)}


def tempo_verdict(beats: Sequence[float], bpm: float, tolerance: float = 0.04) -> str:
    """Return ``right``, ``octave`` (double or half the tempo) or ``wrong``, from the median distance of beats."""
    if len(beats) < 3:
        return "wrong"
    heard = 60.0 / float(np.median(np.diff(beats)))
    for name, factors in (("right", (1.0,)), ("octave", (2.0, 0.5))):
        if any(abs(heard / (bpm * factor) - 1.0) <= tolerance for factor in factors):
            return name
    return "wrong"


def beat_offsets(beats: Sequence[float], true: Sequence[float]) -> Floats:
    """Return of each heard beat its distance to the nearest true beat, in ms; positive is late."""
    if not len(beats) or not len(true):
        return np.zeros(0)
    away = np.asarray(beats)[:, None] - np.asarray(true)
    nearest = np.abs(away).argmin(axis=1)
    return np.asarray(1000.0 * away[np.arange(len(away)), nearest])


def _sampled(chords: Sequence[Sequence[Any]], times: NDArray[np.floating[Any]]) -> list[Any]:
    """What holds at each time; None before the first."""
    index = np.searchsorted([chord[0] for chord in chords], times, side="right") - 1
    return [chords[i] if i >= 0 else None for i in index]


def chord_agreement(told: Told, heard: Sequence[tuple[float, float, str]], *, roots: bool = False) -> float | None:
    """Return the share of the time, 0 .. 1, in which the right major or minor triad (or root) is heard.

    Time in which the chord that was asked for has neither a major nor a minor triad does not count; None if there is no
    time left.
    """
    if not told or not heard:
        return None
    times = np.arange(max(told[0][0], 0.0) + 0.05, min(told[-1][1], heard[-1][1]), 0.1)
    hits = []
    for asked, said in zip(_sampled(told, times), _sampled(heard, times), strict=True):
        if asked is None or asked[3] not in TRIADS:
            continue
        label = f"{_NAMES[asked[2]]}:{TRIADS[asked[3]]}"
        found = "N" if said is None else said[2]
        hits.append(_NAMES[asked[2]] == found.partition(":")[0] if roots else label == found)
    return float(np.mean(hits)) if hits else None


def chord_share(told: Told, chroma: Sequence[Sequence[float]], step_s: float = 0.1, after: float = 0.0) -> float | None:
    """Return the share of the chroma's strength, 0 .. 1, that lies on the tones of the right triad.

    Parameters
    ----------
    told
        The right chords.
    chroma
        Shape (steps, 12), C first.
    step_s
        Seconds a step.
    after
        Seconds that do not count, at the beginning.
    """
    rows = np.asarray(chroma, float).reshape(-1, 12)
    times = (np.arange(len(rows)) + 0.5) * step_s
    inside, total = 0.0, 0.0
    for asked, row, time in zip(_sampled(told, times), rows, times, strict=True):
        if asked is None or time < after or time >= told[-1][1] or asked[3] not in TRIADS:
            continue
        inside += float(row[[(asked[2] + tone) % 12 for tone in _TONES[TRIADS[asked[3]]]]].sum())
        total += float(row.sum())
    return inside / total if total > 0 else None


def note_f1(
    asked: Sequence[tuple[float, float, int]],
    heard: Sequence[tuple[float, float, int]],
    tolerance_s: float = 0.1,
    *,
    octaves: bool = False,
) -> dict[str, float]:
    """Return precision, recall and F1 of note onsets: same pitch, onset within the tolerance, each note used once.

    With `octaves`, pitches an octave apart are the same.
    """
    size = 12 if octaves else 128
    free = [(start, pitch % size) for start, _, pitch in heard]
    hits = 0
    for start, _, pitch in sorted(asked):
        able = [
            (abs(begin - start), i)
            for i, (begin, other) in enumerate(free)
            if other == pitch % size and abs(begin - start) <= tolerance_s
        ]
        if able:
            del free[min(able)[1]]
            hits += 1
    precision = hits / len(heard) if heard else 0.0
    recall = hits / len(asked) if asked else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {"precision": precision, "recall": recall, "f1": f1}


def paired(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Return the mean of `one` - `other` and Wilcoxon's one-sided p that `one` is not larger (signed ranks).

    Raises
    ------
    ValueError
        If they have different lengths or none.
    """
    if len(one) != len(other) or not len(one):
        raise ValueError(f"pairs are needed: {len(one)} and {len(other)} figures are none")
    gain = np.asarray(one, float) - np.asarray(other, float)
    p = 1.0 if not gain.any() else float(wilcoxon(gain, alternative="greater").pvalue)
    return float(gain.mean()), p


def ratio(model: float | None, real: float | None) -> float | None:
    """Return `model` / `real`, or None if one of them is missing or the second is 0."""
    return None if model is None or not real else model / real


def codes_used(codes: NDArray[np.integer[Any]], codebook: int) -> list[float]:
    """Return for each level the share of the codebook that occurs in codes of shape (frames, levels)."""
    return [len(np.unique(column)) / codebook for column in codes.T]


def _levels(audio: NDArray[np.float32], rate: int, size: int, hop: int, bands: int) -> Floats:
    """Log band levels of the mid channel, shape (frames, bands): bands evenly spaced in log frequency."""
    mid = audio.mean(axis=1)
    frames = np.lib.stride_tricks.sliding_window_view(mid, size)[::hop]
    window = np.hanning(size).astype(np.float32)
    edges = np.geomspace(60.0, 12000.0, bands + 1) * size / rate
    bins = np.arange(size // 2 + 1)
    fold = np.stack([(bins >= low) & (bins < max(high, low + 1)) for low, high in pairwise(edges)])
    out = np.zeros((len(frames), bands))
    for start in range(0, len(frames), 1000):
        power = np.abs(np.fft.rfft(frames[start : start + 1000] * window, axis=1)) ** 2
        out[start : start + 1000] = np.log(power @ fold.T + 1e-6)
    return out


def repetition(audio: NDArray[np.float32], rate: int = 48000, window_s: float = 16.0) -> float:
    """Return how exactly the most repetitive stretch repeats itself, -1 .. 1; 1 is a stuck loop.

    Of every `window_s` s, the best correlation of band levels (25 a second, each band's mean taken away) with
    themselves between 0.2 and half a window later. Music of a steady metre has about 0.3 .. 0.8.
    """
    levels = _levels(audio, rate, 4096, rate // 25, 40)
    size = int(window_s * 25)
    best = -1.0
    for start in range(0, max(1, len(levels) - size + 1), size // 2):
        part = levels[start : start + size]
        part = part - part.mean(axis=0)
        power = (part**2).sum(axis=1)
        spectrum = np.fft.rfft(part, 2 * len(part), axis=0)
        products = np.fft.irfft((np.abs(spectrum) ** 2).sum(axis=1))[: len(part)]
        sums = np.concatenate([[0.0], np.cumsum(power)])
        for lag in range(5, len(part) // 2):
            norm = np.sqrt(sums[len(part) - lag] * (sums[-1] - sums[lag]))
            # all at one level: it repeats
            best = max(best, float(products[lag] / norm) if norm > 1e-6 * len(part) else 1.0)
    return best


def pulse(audio: NDArray[np.float32], rate: int = 48000) -> float:
    """Return how much a single rate from 4 to 16 Hz rules the loudness: its share of the modulation power, 0 .. 1.

    The median over stretches of 10 s of the strongest 0.2 Hz among 0.3 .. 16 Hz of the level's modulation.
    """
    hop = rate // 100
    mid = audio.mean(axis=1)[: len(audio) // hop * hop].reshape(-1, hop)
    level = 10 * np.log10((mid.astype(np.float64) ** 2).mean(axis=1) + 1e-6)
    shares = []
    for start in range(0, max(1, len(level) - 999), 1000):
        part = level[start : start + 1000]
        power = np.abs(np.fft.rfft((part - part.mean()) * np.hanning(len(part)))) ** 2
        hertz = np.fft.rfftfreq(len(part), 0.01)
        smooth = np.convolve(power, np.ones(3), "same")
        total = power[(hertz >= 0.3) & (hertz <= 16)].sum()
        shares.append(float(smooth[(hertz >= 4) & (hertz <= 16)].max() / total) if total > 0 else 0.0)
    return float(np.median(shares))
