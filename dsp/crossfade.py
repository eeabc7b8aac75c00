"""Gains for crossfades between blocks of audio: pure functions, no state.

The audio thread's own fades are in the native core; these are for joining what a model makes.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["crossfade", "equal_gain_ramp", "equal_power_ramp"]


def equal_power_ramp(frames: int) -> NDArray[np.float32]:
    """Return a rising ramp whose square and whose reverse's square add up to one: for signals that are unlike.

    Parameters
    ----------
    frames
        Length, 0 or more.

    Returns
    -------
    ramp
        float32, shape (frames,): sin of the middle of each frame's share of 0..pi/2.
    """
    angle = (np.arange(frames, dtype=np.float64) + 0.5) * (np.pi / 2 / max(frames, 1))
    return np.asarray(np.sin(angle), dtype=np.float32)


def equal_gain_ramp(frames: int) -> NDArray[np.float32]:
    """Return a rising raised-cosine ramp that adds up to one with its reverse: for signals that are alike.

    Parameters
    ----------
    frames
        Length, 0 or more.

    Returns
    -------
    ramp
        float32, shape (frames,).
    """
    return np.asarray(np.square(equal_power_ramp(frames), dtype=np.float64), dtype=np.float32)


def crossfade(old: NDArray[np.float32], new: NDArray[np.float32], *, equal_power: bool = True) -> NDArray[np.float32]:
    """Fade from `old` to `new` over their whole length.

    Parameters
    ----------
    old, new
        float32, equal shapes (frames,) or (frames, channels).
    equal_power
        True for unlike signals, False for alike ones.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if old.shape != new.shape:
        raise ValueError(f"crossfade: shapes {old.shape} and {new.shape} differ")
    ramp = (equal_power_ramp if equal_power else equal_gain_ramp)(len(new))
    ramp = ramp.reshape((-1,) + (1,) * (new.ndim - 1))
    return new * ramp + old * ramp[::-1]
