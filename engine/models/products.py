"""Products with matrices of weights, which are float32 or, where a processor multiplies that quicker, bfloat16.

The weights say which: in a product with bfloat16 weights the other factor is rounded to bfloat16 as well, and sums are
float32. Everything else stays float32. Of a single row XLA makes no quicker work in bfloat16.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

__all__ = ["Dense", "halved", "product"]

_MATRICES = {"kernel", "refine_in", "refine_out", "heads", "project"}


def product(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Return ``x @ weights``, float32 (..., outputs), for x (..., inputs) and weights (inputs, outputs)."""
    dimensions = (((x.ndim - 1,), (0,)), ((), ()))
    return lax.dot_general(x.astype(weights.dtype), weights, dimensions, preferred_element_type=jnp.float32)


def _dot_general(x: jax.Array, weights: jax.Array, *_dimensions: Any, **_options: Any) -> jax.Array:
    return product(x, weights)


Dense = partial(nn.Dense, dot_general=_dot_general, promote_dtype=lambda *arrays, **_: arrays)
"""Flax's dense layer, made of :func:`product`."""


def halved(tree: Any) -> Any:
    """Return parameters whose matrices that several rows meet are bfloat16."""

    def half(path: Any, leaf: Any) -> Any:
        names = {str(getattr(key, "key", "")) for key in path}
        is_single = "decoder" in names and (names & {"latent", "unfold"} or any("coarse" in name for name in names))
        return leaf.astype(jnp.bfloat16) if names & _MATRICES and not is_single else leaf

    return jax.tree_util.tree_map_with_path(half, tree)
