"""Signals in which every fault can be heard, and the ears for them."""

import numpy as np
from numpy.typing import NDArray

FREQUENCY = 440.0
RATE = 48000
AMPLITUDE = 0.5
STEP = 2 * np.pi * FREQUENCY / RATE
FADE = 240  # 5 ms
# What a smooth fade of 5 ms leaves in the second difference: 2 * slope * amplitude * sin(w) and less; a crossfade twice
# that. The slope is at most 1.5 / FADE.
QUIET = 2 * 2 * 1.5 / FADE * AMPLITUDE * np.sin(STEP) * 1.3


def sine(start: int, frames: int) -> NDArray[np.float32]:
    """Both channels of one endless sine, from frame `start`."""
    wave = AMPLITUDE * np.sin(STEP * np.arange(start, start + frames))
    return np.stack([wave, -wave], axis=1).astype(np.float32)


def ramp(start: int, frames: int) -> NDArray[np.float32]:
    """Integers over 2**24: every frame's number can be read back exactly."""
    count = (np.arange(start, start + frames) + 1) % 2**24
    return np.stack([count, -count], axis=1).astype(np.float32) / np.float32(2**24)


def roughness(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Second-order residue of the sine: 0 where it goes on as it was, large at any cut, drop or jump."""
    x = np.concatenate([np.zeros((2, audio.shape[1])), audio.astype(np.float64)])
    return np.abs(x[2:] - 2 * np.cos(STEP) * x[1:-1] + x[:-2]).max(axis=1)


def gaps(audio: NDArray[np.float32], least: int = 16) -> list[tuple[int, int]]:
    """Runs of at least `least` silent frames, as (start, end)."""
    silent = np.concatenate([[False], np.all(audio == 0, axis=1), [False]])
    edges = np.flatnonzero(silent[1:] != silent[:-1]).reshape(-1, 2)
    return [(int(a), int(b)) for a, b in edges if b - a >= least]
