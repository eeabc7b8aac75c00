"""Products with matrices of weights, which are float32 where a network is trained and bfloat16 where it plays.

The weights say which. In a product with bfloat16 weights everything else stays float32. On a CPU such a product is a
call of our own (``dsp/xla``), which takes half the time of XLA's in float32; the sums of a row are the same whatever
rows are beside it.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jackdaw.dsp import xla_calls

__all__ = ["Dense", "halved", "on_processor", "product"]

_MATRICES = {"kernel", "refine_in", "refine_out", "heads", "project"}


@cache
def _registered(call: str) -> str:
    """Make a function of dsp/xla known to XLA, once; return its name there."""
    jax.ffi.register_ffi_target(call, jax.ffi.pycapsule(getattr(xla_calls(), call)), platform="cpu")
    return call


def on_processor(call: str, result: Any, arguments: tuple[jax.Array, ...], elsewhere: Callable[..., Any]) -> Any:
    """Return what a function of ``dsp/xla`` makes of arrays on a CPU, and `elsewhere` on other devices.

    Parameters
    ----------
    call
        Its name in the library.
    result
        Shape and type of what it makes, or several.
    arguments
        What it is given.
    elsewhere
        The same in JAX's own functions.
    """
    ours = jax.ffi.ffi_call(_registered(call), result)
    return lax.platform_dependent(*arguments, cpu=ours, default=elsewhere)


def _multiplied(x: jax.Array, weights: jax.Array) -> jax.Array:
    dimensions = (((x.ndim - 1,), (0,)), ((), ()))
    return lax.dot_general(x, weights.astype(jnp.float32), dimensions)


def product(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Return ``x @ weights``, float32 (..., outputs), for x (..., inputs) and weights (inputs, outputs)."""
    if weights.dtype != jnp.bfloat16:
        return _multiplied(x, weights)
    result = jax.ShapeDtypeStruct((*x.shape[:-1], weights.shape[1]), jnp.float32)
    made: jax.Array = on_processor("jd_product", result, (x, weights), _multiplied)
    return made


def _dot_general(x: jax.Array, weights: jax.Array, *_dimensions: Any, **_options: Any) -> jax.Array:
    return product(x, weights)


Dense = partial(nn.Dense, dot_general=_dot_general, promote_dtype=lambda *arrays, **_: arrays)
"""Flax's dense layer, made of :func:`product`."""


def halved(tree: Any) -> Any:
    """Return parameters whose matrices are bfloat16."""

    def half(path: Any, leaf: Any) -> Any:
        names = {str(getattr(key, "key", "")) for key in path}
        return leaf.astype(jnp.bfloat16) if names & _MATRICES else leaf

    return jax.tree_util.tree_map_with_path(half, tree)
