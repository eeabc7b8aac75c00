"""Make stems into a mix: level, tone, amplifier and width of each part; the mix is the exact sum of its stems."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

__all__ = ["PEAK_DB", "mix"]

PEAK_DB = -3.0
_RATE = 48000
Floats = npt.NDArray[np.float32]


def _tilt(sound: Floats, decibels: float) -> Floats:
    """Turn highs up and lows down about 900 Hz, or the other way: a first-order shelf."""
    a = np.exp(-2 * np.pi * 900 / _RATE)
    low = lfilter([1 - a], [1, -a], sound, axis=0)
    gain = 10 ** (decibels / 20)
    return np.asarray(low / gain + (sound - low) * gain, np.float32)


def _amplifier(sound: Floats, drive: float) -> Floats:
    """Saturate softly, and keep the loudness."""
    loud = float(np.sqrt(np.mean(sound**2))) + 1e-9
    bent = np.tanh(sound * drive / (4 * loud))
    return np.asarray(bent * loud / (float(np.sqrt(np.mean(bent**2))) + 1e-9), np.float32)


def mix(stems: Floats, rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """Return the stems as they are in the mix.

    Parameters
    ----------
    stems
        float32, shape (parts, frames, 2), in the order of PARTS; a part that does not play is silent.
    rng
        Draws each part's level (standard deviation 2.5 dB), tone (2 dB), width (0.7 to 1.5) and, for one harmony or
        melody in six, an amplifier's drive, and how far the whole is below full level (0 to 8 dB).

    Returns
    -------
    ndarray of int16
        Of the same shape. Their sum peaks at PEAK_DB or up to 8 dB lower, and never clips.

    Raises
    ------
    RuntimeError
        If nothing sounds.
    """
    made = np.zeros_like(stems)
    for index, stem in enumerate(stems):
        gain = 10 ** (float(np.clip(rng.normal(0, 2.5), -6, 6)) / 20)
        tone, width = float(np.clip(rng.normal(0, 2), -4, 4)), float(rng.uniform(0.7, 1.5))
        drive, driven = float(rng.uniform(1, 4)), rng.random() < 1 / 6 and index >= 2
        if not stem.any():
            continue
        sound = _amplifier(stem, drive) if driven else stem
        sound = _tilt(sound, tone)
        middle = sound.mean(axis=1, keepdims=True)
        made[index] = gain * (middle + width * (sound - middle))
    peak = float(np.abs(made.sum(axis=0)).max())
    if peak <= 0:
        raise RuntimeError("the synthesiser returned silence")
    level = 10 ** ((PEAK_DB - float(rng.uniform(0, 8))) / 20) / peak
    # stems that cancel in the sum may be louder than it: none may clip
    level = min(level, 0.99 / float(np.abs(made).max()))
    return np.round(made * np.float32(level * 32767)).astype(np.int16)
