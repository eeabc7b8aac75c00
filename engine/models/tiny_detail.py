"""What the finer levels of the codec of `tiny` tell: where low tones lie, and how the treble flickers.

The first levels tell a token frame's sound coarsely. What they leave open costs most in two places: below 1.6 kHz,
where the bands of a short window cannot part the tones of a chord, and above 4 kHz, where an ear follows how noise goes
up and down. :func:`features` turns bands and turns into what is needed there; :func:`encode` sees these and what the
first levels have said already.

Turns go from one frame to the next; only the three within a token frame are read, so that any frame can be encoded by
itself.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from jackdaw.engine.models.products import Dense, product
from jackdaw.engine.models.tiny_spectrum import BANDS, CENTRE, FRAMES_PER_TOKEN, HEARING, SPREAD, TURNS, band_edges

__all__ = ["FEATURES", "GROUPS", "Network", "encode", "features", "salience", "treble", "treble_groups"]

_TREBLE = (4000, 5000, 6250, 7800, 9700, 12100, 15100, 18900, 24000)
"""Edges of the groups of treble, in Hz."""
GROUPS = len(_TREBLE) - 1
_FAINT, _SALIENT = 1e-3, 4.0

FEATURES = 2 * TURNS + FRAMES_PER_TOKEN * (TURNS + GROUPS)
"""Numbers that :func:`features` gives: arrows of turns, then low bands, then treble."""


def treble_groups() -> NDArray[np.float32]:
    """Return which band belongs to which group of treble, 0 or 1, float32 (BANDS, GROUPS)."""
    edges = band_edges()
    middles = (edges[1:] + edges[:-1]) / 2
    return np.stack([(middles >= low) & (middles < high) for low, high in pairwise(_TREBLE)], axis=1).astype(np.float32)


def treble(magnitudes: Array) -> Array:
    """Return levels of the groups of treble, nepers, (..., GROUPS), of magnitudes (..., BANDS)."""
    weights = treble_groups() * np.diff(band_edges())[:, None]
    return 0.5 * jnp.log(jnp.square(magnitudes) @ (weights / weights.sum(0)).astype(np.float32) + HEARING**2)


def salience(magnitudes: Array) -> Array:
    """Return how much bins (..., frames, TURNS) matter: roots, in parts of their mean over frames and bins, to 4."""
    roots = jnp.sqrt(magnitudes)
    return jnp.minimum(roots / (jnp.mean(roots, axis=(-2, -1), keepdims=True) + _FAINT), _SALIENT)


def features(bands: Array, turns: Array) -> Array:
    """Return what is told of token frames, float32 (..., n, FEATURES), each number about 1 in size.

    Parameters
    ----------
    bands
        Magnitudes of left, right and mid, float32, shape (..., 4 * n, 3, BANDS), linear, >= 0.
    turns
        Of mid's lowest bins, radians, float32, shape (..., 4 * n, TURNS); the first of four is not read.
    """
    mid = bands[..., 2, :].reshape(*bands.shape[:-3], -1, FRAMES_PER_TOKEN, BANDS)
    turns = turns.reshape(*turns.shape[:-2], -1, FRAMES_PER_TOKEN, TURNS)[..., 1:, :]
    weights = salience(mid[..., 1:, :TURNS])
    arrows = jnp.stack([jnp.mean(weights * wave(turns), axis=-2) for wave in (jnp.cos, jnp.sin)], axis=-2)
    lows = (jnp.log(mid[..., :TURNS] + HEARING) - CENTRE) / SPREAD
    high = (treble(mid) - CENTRE) / SPREAD
    return jnp.concatenate([x.reshape(*x.shape[:-2], -1) for x in (arrows, lows, high)], axis=-1)


class Network(nn.Module):
    """What the linear map of :func:`encode` misses.

    Parameters
    ----------
    width
        Channels of a hidden layer.
    size
        Numbers that come out.
    """

    width: int
    size: int

    @nn.compact
    def __call__(self, values: Array) -> Array:
        """From features and what was said, (..., n, any), to (..., n, size)."""
        y = nn.gelu(Dense(self.width, name="first")(values), approximate=True)
        y = nn.gelu(Dense(self.width, name="second")(y), approximate=True)
        return Dense(self.size, name="last", kernel_init=nn.initializers.normal(1e-3))(y)


def encode(params: Mapping[str, Any], values: Array, *, width: int) -> Array:
    """Return the detail of token frames, float32 (..., n, size).

    Parameters
    ----------
    params
        ``project``, ``offset``, and ``net``, the tree of :class:`Network`.
    values
        Of :func:`features`, and what the codes of the first levels stand for, float32 (..., n, any).
    width
        Of the network.
    """
    net = Network(width, params["offset"].shape[-1]).apply({"params": params["net"]}, values)
    return product(values, params["project"]) + params["offset"] + net
