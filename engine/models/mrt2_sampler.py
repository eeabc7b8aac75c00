"""Choosing the codes of a frame: temperature, top-k, top-p and guidance, with noise that is given."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jackdaw.engine.models import mrt2_depthformer as depthformer
from jackdaw.engine.models.mrt2_config import MRT2Config
from jackdaw.engine.models.sampling import gumbel_noise, most_likely

__all__ = ["choose", "sample_frame", "sampling_noise"]

_NEVER = np.float32(-0.7 * np.finfo(np.float32).max)


def sampling_noise(config: MRT2Config, seed: jax.Array | int, frame: jax.Array | int) -> jax.Array:
    """Return the noise of a frame, float32 (levels, codebook); see :func:`gumbel_noise`."""
    return gumbel_noise(seed, frame, (config.levels, config.codebook))


def _probable(logits: jax.Array, top_p: jax.Array) -> jax.Array:
    """Return the logits with those removed that come after the most likely ones of together `top_p`."""
    ordered = jnp.sort(logits, axis=-1)[:, ::-1]
    total = jnp.cumsum(jax.nn.softmax(ordered, axis=-1), axis=-1)
    last = jnp.minimum(jnp.sum(total < top_p, axis=-1, keepdims=True), logits.shape[-1] - 1)
    return jnp.where(logits >= jnp.take_along_axis(ordered, last, axis=-1), logits, _NEVER)


def choose(
    logits: jax.Array,
    noise: jax.Array,
    temperature: jax.Array,
    top_k: jax.Array,
    top_p: jax.Array,
    guidance: jax.Array | None = None,
) -> jax.Array:
    """Choose a level's code.

    Parameters
    ----------
    logits
        Float32 (branches, codebook): as told, then each with something masked.
    noise
        Float32 (codebook,).
    temperature
        Float32 scalar, 0 (greedy) or more.
    top_k
        Int32 scalar, 1 .. codebook: how many of the likeliest codes can be chosen, and those that equal the last.
    top_p
        Float32 scalar, 0 .. 1: how probable the likeliest codes that can be chosen are together; 1 is all.
    guidance
        Float32 (branches - 1,): how far to go from each branch towards the first, logits = first + sum of
        guidance x (first - branch); None if there is one branch.

    Returns
    -------
    array
        Int32 scalar.
    """
    told = logits[:1]
    if guidance is not None:
        told = told + jnp.sum(guidance[:, None] * (told - logits[1:]), axis=0, keepdims=True)
    kept = jnp.where(most_likely(told, top_k[None]), told, _NEVER)
    kept = lax.cond(top_p < 1.0, lambda: _probable(kept, top_p), lambda: kept)
    return jnp.argmax(kept[0] + temperature * noise).astype(jnp.int32)


def sample_frame(
    params: Mapping[str, Any],
    config: MRT2Config,
    outlook: jax.Array,
    noise: jax.Array,
    temperature: jax.Array,
    top_k: jax.Array,
    top_p: jax.Array,
    guidance: jax.Array | None = None,
) -> jax.Array:
    """Choose the codes of a frame, level by level.

    Parameters
    ----------
    params
        Of the decoder, from :func:`~jackdaw.engine.models.mrt2_depthformer.prepared`.
    config
        Of the model.
    outlook
        Float32 (branches, width), from the temporal stack.
    noise
        Float32 (levels, codebook), from :func:`sampling_noise`.
    temperature, top_k, top_p, guidance
        Of :func:`choose`.

    Returns
    -------
    array
        Int32 (levels,).
    """
    coarser: depthformer.Coarser = ()
    x, codes = outlook, []
    for level in range(config.levels):
        coarser, logits = depthformer.depth_step(params, coarser, x, level)
        codes.append(choose(logits, noise[level], temperature, top_k, top_p, guidance))
        x = jnp.broadcast_to(depthformer.embedded(params, config, codes[-1][None], level), outlook.shape)
    return jnp.stack(codes)
