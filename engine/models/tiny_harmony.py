"""Which chord is heard: the harmony of the input, step by step, so that `tiny` goes along with who plays.

The spectrum of the newest third of a second is reduced to twelve pitch classes by its peaks; these are compared with
what the partials of each major and minor triad would give (harmonic templates: Papadopoulos and Peeters, 2007). A
change costs: the chord that stands gives way to another only when that has fitted better for a while (the forward pass
of Viterbi's algorithm, with equal costs for all changes). A single voice says less at a time: a bass is followed by
what it walks through, more slowly than a hand on a keyboard. Drums and noise are no chord; the last one then stands for
two seconds more.

State is a dict of arrays; nothing here writes into one.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models.contract import Audio, Chord

__all__ = ["State", "init", "listen", "standing"]

State = dict[str, Any]
"""``sound``, the newest input, float32 (WINDOW,); ``scores``, float64 (25,), of the triads and of none, the best being
0; ``chord``, the index of the one that stands, -1 = none; ``since``, steps in which none was the best; ``past``,
float64 (12,), the tones of the last seconds."""

_RATE = 48000
_WINDOW, _SIZE = 16320, 16384
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 1600.0
_A4_HZ, _A4 = 440.0, 69
_PARTIALS, _PARTIAL_LEVEL = 5, 0.75
_TRIADS = (("maj", (0, 4, 7)), ("min", (0, 3, 7)))
_COUNT = 12 * len(_TRIADS)
_VOICES = (0.3, 0.6, 0.9, 1.0)
_VOICE_WEIGHT, _VOICE_NONE, _KEY = 0.06, 0.3, 0.5
_VOICE = 0.85
_ALONE = (1.0, 0.5, 0.6)  # root, third, fifth
_PAST = 0.993  # a step's share of what is remembered: 6 s
_SILENT = 10.0 ** (-55.0 / 20.0)
_NONE = 0.75
_CHANGE = 0.3
_STANDS = 50


def _profile(tones: tuple[int, ...], level: float) -> NDArray[np.float64]:
    """Return the pitch classes of tones with partials, each so much weaker than the one below; float64 (12,)."""
    row = np.zeros(12)
    for tone in tones:
        for partial in range(1, _PARTIALS + 1):
            row[round(tone + 12 * np.log2(partial)) % 12] += level ** (partial - 1)
    return row / np.linalg.norm(row)


@cache
def _templates() -> NDArray[np.float64]:
    """Return profiles, float64 (72, 12): major triads on C ... B, minor ones, then single voices, dull to bright."""
    kinds = [_profile(tones, _PARTIAL_LEVEL) for _, tones in _TRIADS] + [_profile((0,), level) for level in _VOICES]
    return np.array([np.roll(row, root) for row in kinds for root in range(12)])


@cache
def _tones() -> NDArray[np.float64]:
    """Return which pitch classes each triad has, float64 (24, 12)."""
    return (_roles() > 0.0).astype(np.float64)


@cache
def _roles() -> NDArray[np.float64]:
    """Return how likely each pitch class is to be heard alone in each triad, float64 (24, 12)."""
    rows = [np.zeros(12), np.zeros(12)]
    for row, (_, tones) in zip(rows, _TRIADS, strict=True):
        row[list(tones)] = _ALONE
    return np.array([np.roll(row, root) for row in rows for root in range(12)])


@cache
def _window() -> NDArray[np.float32]:
    return np.hanning(_WINDOW).astype(np.float32)


def init() -> State:
    """Return what is known of an input that has not begun."""
    sound, scores = np.zeros(_WINDOW, np.float32), np.full(_COUNT + 1, -_CHANGE)
    scores[-1] = 0.0
    return {"sound": sound, "scores": scores, "chord": np.int32(-1), "since": np.int32(0), "past": np.zeros(12)}


def listen(state: State, heard: Audio) -> State:
    """Take in a step of input; return what is known then.

    Parameters
    ----------
    state
        From :func:`init` or an earlier step.
    heard
        Float32 (samples, channels), at 48 kHz.
    """
    sound = np.concatenate([state["sound"][len(heard) :], heard.mean(axis=1, dtype=np.float32)])
    classes = np.zeros(12)
    if np.sqrt(np.mean(np.square(sound))) > _SILENT:
        classes = _classes(sound)
    fits, past = _fits(classes, state["past"])
    scores = np.maximum(state["scores"], state["scores"].max() - _CHANGE) + fits
    scores = scores - scores.max()
    best, chord, since = int(np.argmax(scores)), int(state["chord"]), int(state["since"]) + 1
    if best < _COUNT:
        chord, since = best, 0
    elif since > _STANDS:
        chord = -1
    known = {"sound": sound, "scores": scores, "past": past}
    return {**known, "chord": np.int32(chord), "since": np.int32(min(since, _STANDS + 1))}


def standing(state: State) -> Chord | None:
    """Return the chord that stands; None if none does."""
    chord = int(state["chord"])
    return None if chord < 0 else Chord(root=chord % 12, quality=_TRIADS[chord // 12][0])


def _fits(classes: NDArray[np.float64], past: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how well each triad, and none, fits pitch classes, and the tones of the last seconds.

    A single voice is taken for the root, fifth or third of a chord whose tones were heard lately.
    """
    fits = np.zeros(_COUNT + 1)
    fits[-1] = _NONE
    norm = float(np.linalg.norm(classes))
    if norm == 0.0:
        return fits, past
    found = _templates() @ classes / norm
    triad, voice = int(np.argmax(found[:_COUNT])), int(np.argmax(found[_COUNT:]))
    if found.max() < _NONE:
        return fits, past
    if found[_COUNT + voice] <= found[triad]:
        fits[:-1] = found[:_COUNT]
        return fits, _PAST * past + (1.0 - _PAST) * _tones()[triad]
    if found[_COUNT + voice] < _VOICE:
        return np.zeros(_COUNT + 1), past  # neither this nor that: what stands stands
    past = _PAST * past + (1.0 - _PAST) * np.eye(12)[voice % 12]
    lately = _tones() @ past / (np.linalg.norm(past) * 3**0.5)
    fits[:-1] = _roles()[:, voice % 12] + _KEY * lately
    fits[-1] = _VOICE_NONE
    return _VOICE_WEIGHT * fits, past


def _classes(sound: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the strength of each pitch class, by the peaks of the spectrum."""
    spacing = _RATE / _SIZE
    first, end = round(_LOWEST_HZ / spacing), round(_HIGHEST_HZ / spacing)
    level = np.abs(np.fft.rfft(sound * _window(), _SIZE))[first - 1 : end + 1]
    left, middle, right = level[:-2], level[1:-1], level[2:]
    peak = np.flatnonzero((middle > left) & (middle >= right) & (middle > 0.02 * middle.max()))
    # the top of the parabola through the peak and its neighbours
    bend = left[peak] - 2 * middle[peak] + right[peak]
    off = 0.5 * (left[peak] - right[peak]) / np.where(bend == 0.0, -1.0, bend)
    pitch = _A4 + 12 * np.log2((first + peak + off) * spacing / _A4_HZ)
    nearest = np.round(pitch)
    weight = np.sqrt(middle[peak]) * np.sqrt(np.maximum(0.0, 1.0 - 2.0 * np.abs(pitch - nearest)))
    return np.bincount(nearest.astype(int) % 12, weight, minlength=12).astype(np.float64)
