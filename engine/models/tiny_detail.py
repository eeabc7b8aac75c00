"""What the finer levels of the codec of `tiny` tell: the swing of low tones, and how loud each part of the sound is.

The first levels tell a token frame's sound coarsely, and of its phases nothing. Two things are lost by that more than
others, and told here:

- Tones: the spectra of mid's lowest TURNS bins in the four frames, phases and all. Wrong phases beat where tones lie
  closer than a window of 40 ms can part, and chords blur. Magnitudes are raised to the power of _ROOT, so that quiet
  tones count, and scaled to an energy of 1, since the bands tell how loud it all is. Quantised as principal components.
- Envelope: the levels of groups of bands, as wide as an ear's, in each half of a token frame; beside what the codes of
  the first levels let expect, by linear regression.

:func:`with_tones` and :func:`with_envelope` put them into what the decoder has made. Every token frame is told by
itself.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jackdaw.engine.models.tiny_spectrum import FRAMES_PER_TOKEN, TURNS, band_edges

__all__ = [
    "ENVELOPE",
    "TONES",
    "envelope",
    "envelope_told",
    "tones",
    "tones_told",
    "with_envelope",
    "with_tones",
]

_ROOT = 0.5
_NOTHING = 1e-9
_SILENT = 1e-3
"""Length of compressed tones below which they are told as shorter than 1: some 140 dB below a full-scale sine."""
TONES = 2 * FRAMES_PER_TOKEN * TURNS
"""Numbers that :func:`tones` gives: real parts, then imaginary ones."""

_LOWEST, _HIGHEST = 50.0, 24000.0
_GROUPS = 32
_HALVES = 2
ENVELOPE = _HALVES * _GROUPS
"""Numbers that :func:`envelope` gives."""
_FAINT = 1e-5
"""Magnitude added to levels: -100 dB."""
_FAR = 3.0
"""Nepers by which a level is moved at most."""


def _group_of_bands() -> NDArray[np.int64]:
    """Return the group of each band; groups are even on the scale of equivalent rectangular bandwidths."""
    low, high = (np.log(f + 228.7) for f in (_LOWEST, _HIGHEST))
    middles = np.log((band_edges()[1:] + band_edges()[:-1]) / 2 + 228.7)
    return np.clip(((middles - low) / (high - low) * _GROUPS).astype(np.int64), 0, _GROUPS - 1)


def _pool() -> NDArray[np.float32]:
    """Return weights that make means over groups of powers of bands, (BANDS, _GROUPS)."""
    weights = (_group_of_bands()[:, None] == np.arange(_GROUPS)) * np.diff(band_edges())[:, None]
    return (weights / weights.sum(axis=0)).astype(np.float32)


def _framed(values: Array, axes: int) -> Array:
    """Part the axis of frames, the last but `axes`, into token frames of FRAMES_PER_TOKEN."""
    at = values.ndim - 1 - axes
    return values.reshape(*values.shape[:at], -1, FRAMES_PER_TOKEN, *values.shape[at + 1 :])


def tones(bands: Array, phases: Array) -> Array:
    """Return the tones of token frames, float32 (..., n, TONES), of length 1 or, near silence, less.

    Parameters
    ----------
    bands
        Magnitudes of left, right and mid, float32, shape (..., 4 * n, 3, BANDS), linear, >= 0.
    phases
        Of mid's lowest bins, radians, float32, shape (..., 4 * n, TURNS).
    """
    heights, phases = _heights(_framed(bands[..., 2, :], 1)), _framed(phases, 1)
    parts = jnp.concatenate([heights * jnp.cos(phases), heights * jnp.sin(phases)], axis=-2)
    parts = parts.reshape(*parts.shape[:-2], TONES)
    return parts / jnp.maximum(jnp.linalg.norm(parts, axis=-1, keepdims=True), _SILENT)


def _heights(mid: Array) -> Array:
    """Return compressed magnitudes of the lowest bins, (..., TURNS), without the one at 0 Hz, of (..., BANDS)."""
    return jnp.power(mid[..., :TURNS], _ROOT) * (np.arange(TURNS) > 0)


def envelope(bands: Array) -> Array:
    """Return the levels of mid in token frames, nepers, float32 (..., n, ENVELOPE), of bands (..., 4 * n, 3, BANDS)."""
    levels = _levels(_framed(bands[..., 2, :], 1))
    return levels.reshape(*levels.shape[:-2], ENVELOPE)


def _levels(mid: Array) -> Array:
    """Return levels, nepers, (..., n, _HALVES, _GROUPS), of magnitudes (..., n, FRAMES_PER_TOKEN, BANDS)."""
    power = jnp.square(mid) @ _pool()
    halves = power.reshape(*power.shape[:-2], _HALVES, FRAMES_PER_TOKEN // _HALVES, _GROUPS).mean(axis=-2)
    return 0.5 * jnp.log(halves + _FAINT**2)


def tones_told(params: Mapping[str, Any], bands: Array, phases: Array) -> Array:
    """Return the components of tones as they are quantised, float32 (..., n, components).

    `params` hold ``components``, orthonormal columns (TONES, components); `bands` and `phases` are as for
    :func:`tones`.
    """
    return tones(bands, phases) @ params["components"].astype(jnp.float32)


def _expected(params: Mapping[str, Any], said: Array) -> Array:
    expect = params["expect"]
    return said @ expect["project"].astype(jnp.float32) + expect["offset"]


def envelope_told(params: Mapping[str, Any], said: Array, bands: Array) -> Array:
    """Return by what the envelope differs from what is to be expected, as it is quantised, float32 (..., n, ENVELOPE).

    Parameters
    ----------
    params
        ``expect``: ``project`` (any, ENVELOPE) and ``offset``.
    said
        What the codes of the first levels stand for, (..., n, any).
    bands
        As for :func:`tones`.
    """
    return envelope(bands) - _expected(params, said)


def with_tones(params: Mapping[str, Any], made: Array, told: Array) -> tuple[Array, Array]:
    """Put tones into what a decoder has made.

    Parameters
    ----------
    params
        ``components``, as for :func:`tones_told`.
    made
        Magnitudes, linear, (..., 4 * n, 3, BANDS).
    told
        The tones' components, (..., n, components).

    Returns
    -------
    bands, phases
        Magnitudes, low ones moved half the way, in decibels, to those of the tones, in all channels alike; and the
        phases of mid's lowest bins, radians, (..., 4 * n, TURNS).
    """
    swing = told @ params["components"].astype(jnp.float32).T
    swing = swing.reshape(*swing.shape[:-1], 2, FRAMES_PER_TOKEN, TURNS)
    phases = jnp.arctan2(swing[..., 1, :, :], swing[..., 0, :, :])
    framed = _framed(made, 2)
    before, after = _heights(framed[..., 2, :]), jnp.linalg.norm(swing, axis=-3)
    energies = [jnp.sqrt(jnp.sum(x**2, axis=(-2, -1), keepdims=True)) for x in (before, after)]
    after = after * energies[0] / (energies[1] + _NOTHING)
    nearer = jnp.clip(0.5 / _ROOT * jnp.log((after + _NOTHING) / (before + _NOTHING)), -_FAR, _FAR)
    gains = jnp.exp(nearer * (np.arange(TURNS) > 0))[..., None, :]
    moved = jnp.concatenate([framed[..., :TURNS] * gains, framed[..., TURNS:]], axis=-1)
    return moved.reshape(made.shape), phases.reshape(*made.shape[:-2], TURNS)


def with_envelope(params: Mapping[str, Any], made: Array, said: Array, told: Array) -> Array:
    """Move each group of bands that a decoder has made to its level, in all channels alike.

    Parameters
    ----------
    params, said
        As for :func:`envelope_told`.
    made
        Magnitudes, linear, (..., 4 * n, 3, BANDS).
    told
        What the envelope differs by, (..., n, ENVELOPE).
    """
    framed = _framed(made, 2)
    wanted = (_expected(params, said) + told).reshape(*told.shape[:-1], _HALVES, _GROUPS)
    gains = jnp.exp(jnp.clip(wanted - _levels(framed[..., 2, :]), -_FAR, _FAR))[..., _group_of_bands()]
    moved = framed * jnp.repeat(gains, FRAMES_PER_TOKEN // _HALVES, axis=-2)[..., None, :]
    return moved.reshape(made.shape)
