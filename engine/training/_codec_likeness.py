"""How alike two sounds are to an ear, from their band magnitudes: differentiable, for training.

The measure is the neurogram similarity index (NSIM; Hines and Harte 2012, over the structural similarity of Wang et al.
2004) on a gammatone spectrogram in steps of 2 dB: 32 bands even in ERB from 50 Hz, frames of 80 ms, one every 20 ms,
with floors 90 dB below the loudest band of a frame and at -90 dB. At every point it compares the level, and how levels
go up and down in time and frequency round it, which is what ViSQOL goes by (Chinen et al. 2020). It is taken from band
magnitudes, so it knows nothing of what phases add.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jackdaw.engine.models.tiny_spectrum import HOP, RATE, TURNS, band_edges

__all__ = ["likeness", "semitone_error"]

_COUNT = 32
_DEPTH = 45.0
_MEAN_SQUARE = 0.5 * 0.375 / 1.5
"""Of a full-scale sine under a Hann window, in parts of the sum of its squared magnitudes over bins."""
_FRAMES = np.array([0.059, 0.257, 0.368, 0.257, 0.059], np.float32)
"""Weights of frames 10 ms apart whose mean is that of a window of 80 ms."""
_NEAR = np.array([0.1065, 0.787, 0.1065], np.float32)
"""A Gaussian with a deviation of half a point."""
_LEVEL, _SHAPE = 1e-4, 2e-3
"""Keep the index finite where there is nothing, and its slope where little moves."""


def _gammatone() -> NDArray[np.float32]:
    """Return powers of band magnitudes squared in gammatone bands, shape (BANDS, 32)."""
    quality, least = 9.26449, 24.7
    low, high = (np.log(f + quality * least) for f in (50.0, RATE / 2))
    centres = np.exp(low + (high - low) * np.arange(_COUNT) / _COUNT) - quality * least
    edges = band_edges()
    middles = (edges[1:] + edges[:-1]) / 2
    bins = np.diff(edges) / 25.0
    away = (middles[:, None] - centres) / (1.019 * (centres / quality + least))
    return (bins[:, None] * (1 + away**2) ** -4).astype(np.float32)


def _levels(magnitudes: Array) -> Array:
    """Return levels in steps of 2 dB, (..., frames, 32), of band magnitudes (..., frames * 2, BANDS)."""
    power = jnp.square(magnitudes) @ _gammatone()
    frames = power.shape[-2] // 2 - 2
    parts = [w * power[..., k : k + 2 * frames : 2, :] for k, w in enumerate(_FRAMES)]
    power = sum(parts, start=jnp.float32(0))
    return 5.0 / np.log(10.0) * jnp.log(_MEAN_SQUARE * power + 1e-10)


def _near(values: Array) -> Array:
    """Mean over each point and those round it in time and frequency; at an edge, the edge goes on."""
    edged = jnp.pad(values, [(0, 0)] * (values.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    rows = sum((w * edged[..., k : k + values.shape[-2], :] for k, w in enumerate(_NEAR)), start=jnp.float32(0))
    return sum((w * rows[..., k : k + values.shape[-1]] for k, w in enumerate(_NEAR)), start=jnp.float32(0))


def likeness(one: Array, other: Array) -> Array:
    """Return the mean similarity, -1..1, of two sounds; a scalar.

    Parameters
    ----------
    one, other
        Band magnitudes of one channel, linear, float32 (..., frames, BANDS); 6 frames or more.
    """
    a, b = _levels(one), _levels(other)
    loudest = jnp.maximum(jnp.max(a, axis=-1, keepdims=True), jnp.max(b, axis=-1, keepdims=True))
    floor = jnp.maximum(loudest - _DEPTH, -_DEPTH)
    a, b = (jnp.maximum(x, floor) + _DEPTH for x in (a, b))
    mean_a, mean_b = _near(a), _near(b)
    spread_a, spread_b = (jnp.maximum(_near(x * x) - m * m, 0) for x, m in ((a, mean_a), (b, mean_b)))
    together = _near(a * b) - mean_a * mean_b
    level = (2 * mean_a * mean_b + _LEVEL) / (mean_a**2 + mean_b**2 + _LEVEL)
    shape = (together + _SHAPE) / jnp.sqrt((spread_a + _SHAPE) * (spread_b + _SHAPE))
    return jnp.mean(level * shape)


_LONG, _EVERY = 18, 6
"""Frames under a long window, and between two."""
_FINE = 36
_SLOW = 8
"""Frequencies within a bin."""
_WEAK = 10**-4.5
_SURE = 0.04


def _semitones() -> NDArray[np.float32]:
    """Return powers at semitones, from those at the fine frequencies of bins: float32 (TURNS * _FINE, semitones)."""
    fine = (np.arange(_FINE) - _FINE // 2) / _FINE * RATE / HOP
    frequency = (25.0 * np.arange(TURNS)[:, None] + fine).reshape(-1, 1)
    middles = 440 * 2 ** ((np.arange(33, 92) - 69) / 12)
    widths = np.maximum(middles * (2 ** (1 / 12) - 1), 6.0)
    return np.maximum(0, 1 - np.abs(frequency - middles) / widths).astype(np.float32)


def _waves() -> NDArray[np.complex64]:
    """Return windowed waves of the fine frequencies, (_LONG, _FINE)."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(_LONG) + 0.5) / _LONG)
    turns = np.arange(_LONG)[:, None] * (np.arange(_FINE) - _FINE // 2) / _FINE
    return (window[:, None] / window.sum() * np.exp(-2j * np.pi * turns)).astype(np.complex64)


def _fine_powers(magnitudes: Array, turns: Array) -> Array:
    """Return powers at semitones (..., windows, semitones) of bins (..., frames, TURNS) whose phases turn."""
    phase, waves = jnp.cumsum(turns, axis=-2), _waves()
    windows = (magnitudes.shape[-2] - _LONG) // _EVERY + 1
    index = np.arange(windows)[:, None] * _EVERY + np.arange(_LONG)
    real, imaginary = ((magnitudes * wave(phase))[..., index, :] for wave in (jnp.cos, jnp.sin))

    def along(x: Array, part: NDArray[np.float32]) -> Array:
        return jnp.einsum("...wlk,lf->...wkf", x, part)

    cosines, sines = waves.real.copy(), waves.imag.copy()
    power = jnp.square(along(real, cosines) - along(imaginary, sines))
    power += jnp.square(along(real, sines) + along(imaginary, cosines))
    return power.reshape(*power.shape[:-2], -1) @ _semitones()


def semitone_error(magnitudes: Array, turns: Array, made: Array, arrows: Array) -> Array:
    """Return how far levels of semitones below 1.6 kHz are apart under windows of 0.18 s, nepers: a scalar.

    Half of it is of their means over half a second: what is wrong there all the time is heard as another chord.

    Parameters
    ----------
    magnitudes, turns
        Of mid's lowest bins, float32 (..., frames, TURNS).
    made, arrows
        The same as the decoder makes them; turns as cosine and sine, (..., frames, 2, TURNS).
    """
    cosine, sine = arrows[..., 0, :], arrows[..., 1, :]
    square = cosine**2 + sine**2
    angle = jnp.arctan2(sine, jnp.where(square > 0, cosine, 1e-6))
    # short arrows have no direction to speak of, and no end of slope
    share = jax.lax.stop_gradient(square / (square + _SURE))
    angle = share * angle + (1 - share) * jax.lax.stop_gradient(angle)
    true, ours = _fine_powers(magnitudes, turns), _fine_powers(jnp.maximum(made, 0), angle)
    return (_apart(ours, true) + _apart(_slowly(ours), _slowly(true))) / 2


def _slowly(powers: Array) -> Array:
    """Return the means of powers (..., windows, semitones) over _SLOW windows, or over all of fewer."""
    count = min(_SLOW, powers.shape[-2])
    whole = powers.shape[-2] // count
    return powers[..., : whole * count, :].reshape(*powers.shape[:-2], whole, count, powers.shape[-1]).mean(axis=-2)


def _apart(ours: Array, true: Array) -> Array:
    floor = _WEAK * jnp.max(true, axis=-1, keepdims=True) + 1e-10
    return 0.5 * jnp.mean(jnp.abs(jnp.log((ours + floor) / (true + floor))))
