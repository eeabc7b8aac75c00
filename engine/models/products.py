"""Products with matrices of weights, which are float32 where a network is trained and bfloat16 where it plays.

The weights say which. In a product with bfloat16 weights everything else stays float32. On a CPU such a product is a
call of our own (``dsp/xla``), which takes half the time of XLA's in float32; the sums of a row are the same whatever
rows are beside it.

Training may ask for products of rounded factors by JAX's own setting, ``jax.default_matmul_precision("bfloat16")``,
which JAX itself heeds on other devices than CPUs only: a processor with AMX takes a third of the time for them.
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

_HALVED = {
    *("kernel", "refine_in", "refine_out", "heads", "project", "components"),
    *("codebooks", "tones", "envelope", "turned"),
}


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


def _dot(x: jax.Array, y: jax.Array, over_x: tuple[int, ...], over_y: tuple[int, ...]) -> jax.Array:
    return lax.dot_general(x, y, ((over_x, over_y), ((), ())), preferred_element_type=jnp.float32)


def _multiplied(x: jax.Array, weights: jax.Array) -> jax.Array:
    return _dot(x, weights.astype(jnp.float32), (x.ndim - 1,), (0,))


@jax.custom_vjp
def _rounded(x: jax.Array, weights: jax.Array) -> jax.Array:
    """The product of both rounded to bfloat16, summed in float32; so are those of its gradient."""
    return _rounded_forward(x, weights)[0]


def _rounded_forward(x: jax.Array, weights: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    x, weights = x.astype(jnp.bfloat16), weights.astype(jnp.bfloat16)
    return _dot(x, weights, (x.ndim - 1,), (0,)), (x, weights)


def _rounded_backward(kept: tuple[jax.Array, jax.Array], grown: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, weights = kept
    grown, rows = grown.astype(jnp.bfloat16), tuple(range(x.ndim - 1))
    return _dot(grown, weights, (grown.ndim - 1,), (1,)), _dot(x, grown, rows, rows)


_rounded.defvjp(_rounded_forward, _rounded_backward)


def product(x: jax.Array, weights: jax.Array) -> jax.Array:
    """Return ``x @ weights``, float32 (..., outputs), for x (..., inputs) and weights (inputs, outputs)."""
    if weights.dtype != jnp.bfloat16:
        rounds = jax.config.jax_default_matmul_precision == "bfloat16"  # type: ignore[attr-defined]
        made: jax.Array = (_rounded if rounds else _multiplied)(x, weights)
        return made
    result = jax.ShapeDtypeStruct((*x.shape[:-1], weights.shape[1]), jnp.float32)
    made = on_processor("jd_product", result, (x, weights), _multiplied)
    return made


def _dot_general(x: jax.Array, weights: jax.Array, *_dimensions: Any, **_options: Any) -> jax.Array:
    return product(x, weights)


Dense = partial(nn.Dense, dot_general=_dot_general, promote_dtype=lambda *arrays, **_: arrays)
"""Flax's dense layer, made of :func:`product`."""


def halved(tree: Any) -> Any:
    """Return parameters whose matrices and codebooks are bfloat16, and the others float32; either may be given."""

    def half(path: Any, leaf: Any) -> Any:
        names = {str(getattr(key, "key", "")) for key in path}
        return leaf.astype(jnp.bfloat16 if names & _HALVED else jnp.float32)

    return jax.tree_util.tree_map_with_path(half, tree)
