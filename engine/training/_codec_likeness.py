"""How alike two sounds are to an ear, from their band magnitudes: differentiable, for training.

The measure is the neurogram similarity index (NSIM; Hines and Harte 2012, over the structural similarity of Wang et al.
2004) on a gammatone spectrogram in steps of 2 dB: 32 bands even in ERB from 50 Hz, frames of 80 ms, one every 20 ms,
with floors 90 dB below the loudest band of a frame and at -90 dB. At every point it compares the level, and how levels
go up and down in time and frequency round it, which is what ViSQOL goes by (Chinen et al. 2020). It is taken from band
magnitudes, so it knows nothing of what phases add.
"""

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jackdaw.engine.models.tiny_spectrum import RATE, band_edges

__all__ = ["likeness"]

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
