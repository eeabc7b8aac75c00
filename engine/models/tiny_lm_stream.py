"""The language model of the bundled model as it plays: several streams, a frame a step, from codes to codes.

A row is one history: the ring of keys and values of every layer, and how many frames it has seen. A stream is one row,
and one more for each thing that it is guided by: the same stream without that. All rows go through a step side by side,
so that the weights are read once, but each has its own arrays: nothing of a row is copied to or from another's.

Invariants: :func:`step` gives the logits of :func:`~jackdaw.engine.models.tiny_lm.forward` over the whole sequence.
Rows do not see each other, but for the logits of a guided stream. The ring counts frames modulo whole windows and whole
rotary periods, so that a stream never ends. Sampling noise is an input, a function of (seed, frame) alone. States are
values.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jackdaw.engine.models.products import on_processor
from jackdaw.engine.models.sampling import gumbel_noise, most_likely
from jackdaw.engine.models.tiny_lm import (
    GUIDED_LEVELS,
    SOBER,
    LMConfig,
    Network,
    Params,
    embedded,
    level_logits,
    rotation,
)

__all__ = ["Row", "advance", "by_level", "init_row", "sampling_noise", "step"]

Row = dict[str, Any]
"""``frame``, an int32 scalar; ``keys`` and ``values``, for each layer float32 (heads, window, head size)."""


def by_level(params: Params) -> dict[str, Any]:
    """Return parameters as files hold them, with an array a level: slicing a stack would copy it at every step."""
    stacked = ("codes", "refine_in", "refine_out", "heads")
    return {**params, **{name: tuple(params[name]) for name in stacked}}


def init_row(config: LMConfig) -> Row:
    """Return the history of a stream that has played nothing."""
    shape = (config.heads, config.window, config.width // config.heads)
    empty = tuple(jnp.zeros(shape, jnp.float32) for _ in range(config.layers))
    return {"frame": jnp.zeros((), jnp.int32), "keys": empty, "values": empty}


def sampling_noise(config: LMConfig, seed: jax.Array | int, frame: jax.Array | int) -> jax.Array:
    """Noise (levels, codebook) of a frame: Gumbel's, less for deeper levels, as SOBER says."""
    part = jnp.maximum(0.0, 1.0 - SOBER * jnp.arange(config.levels))
    return part[:, None] * gumbel_noise(seed, frame, (config.levels, config.codebook))


def _attended(
    q: jax.Array, k: jax.Array, v: jax.Array, keys: jax.Array, values: jax.Array, now: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """What a row's query (heads, head size) finds in its ring, of the same shape; the rings with its key and value."""
    window = keys.shape[1]
    at = (0, now % window, 0)
    keys = lax.dynamic_update_slice(keys, k[:, None], at)
    values = lax.dynamic_update_slice(values, v[:, None], at)
    age = (now - jnp.arange(window)) % window
    score = jnp.einsum("hd,hkd->hk", q, keys) * (q.shape[-1] ** -0.5)
    weight = jax.nn.softmax(jnp.where(age <= now, score, -1e9), axis=-1)
    return jnp.einsum("hk,hkd->hd", weight, values), keys, values


def advance(
    params: Params, config: LMConfig, rows: Sequence[Row], played: jax.Array, heard: jax.Array, cond: jax.Array
) -> tuple[list[Row], jax.Array]:
    """Take in a frame.

    Parameters
    ----------
    params, config
        Of the network.
    rows
        Histories, each from :func:`init_row` or an earlier step.
    played, heard
        Int32 (rows, levels): the frames last played, as a mix, and what was heard of them; NOTHING where nothing was.
    cond
        Float32 (rows, CONDITION_SIZE).

    Returns
    -------
    rows, outlook
        The next histories, and float32 (rows, levels, depth_width) for the levels' networks.
    """
    frames = [row["frame"] for row in rows]
    turned = rotation(config, jnp.stack(frames))
    cosine, sine = turned[0][:, None], turned[1][:, None]

    def run(net: Network) -> tuple[list[tuple[Any, Any]], jax.Array]:
        x = net.taken_in(embedded(params, played, params["nothing"]), embedded(params, heard, 0.0), cond)[:, None]
        bends, rings = net.bends(cond)[:, None], []
        for layer, block in enumerate(net.blocks):
            bend, found = bends[:, :, layer], []
            for row, now, q, k, v in zip(rows, frames, *block.heads(x, bend, (cosine, sine)), strict=True):
                given = q[0], k[0], v[0], row["keys"][layer], row["values"][layer], now
                made = tuple(jax.ShapeDtypeStruct(array.shape, jnp.float32) for array in (q[0], *given[3:5]))
                out, keys, values = on_processor("jd_attention", made, given, _attended)
                found.append(out)
                rings.append((keys, values))
            x = block.finish(x, bend, jnp.stack(found)[:, None])
        return rings, net.outlook(x)[:, 0]

    rings, outlook = nn.apply(run, Network(config))({"params": params})
    # Past the window only the remainder matters; whole windows and periods keep slot and phase.
    cycle = int(np.lcm(config.window, config.period))
    following = []
    for index, now in enumerate(frames):
        frame = jnp.where(now + 1 >= 2 * cycle, now + 1 - cycle, now + 1)
        keys, values = zip(*rings[index :: len(rows)], strict=True)
        following.append({"frame": frame, "keys": keys, "values": values})
    return following, outlook


def _largest(values: jax.Array) -> jax.Array:
    """Index of the largest of each row, of equal ones the first: argmax, in half its time."""
    codes = values.shape[1]
    is_largest = values >= jnp.max(values, axis=1, keepdims=True)
    return jnp.min(jnp.where(is_largest, jnp.arange(codes, dtype=jnp.int32), codes - 1), axis=1)


def step(
    params: Params,
    config: LMConfig,
    rows: Sequence[Row],
    played: jax.Array,
    heard: jax.Array,
    cond: jax.Array,
    noise: jax.Array,
    temperature: jax.Array,
    top_k: jax.Array,
    guidance: jax.Array,
) -> tuple[list[Row], jax.Array]:
    """Choose the codes of the next frame of several streams.

    Parameters
    ----------
    params, config
        Of the network, from :func:`by_level`; jit with `config` static.
    rows
        One history a stream, then as many again for each row of `guidance`: the same streams without what that row
        guides by.
    played
        Int32 (streams, levels): the frame that was last played, mixed with what was heard; NOTHING at the start.
    heard
        Int32 (rows, levels): what was heard; NOTHING if nothing was, or a row isn't to know.
    cond
        Float32 (rows, CONDITION_SIZE), from :func:`~jackdaw.engine.models.tiny_lm.condition`.
    noise
        Float32 (streams, levels, codebook), from :func:`sampling_noise`.
    temperature
        Float32 (streams,), 0 (greedy) .. 4; scales the noise, which is sampling from the softmax at the temperature of
        each level (Gumbel-max).
    top_k
        Int32 (streams,), 1 .. codebook: codes of each level that can be chosen.
    guidance
        Float32 (ways, streams, GUIDED_LEVELS), 0 or more ways: weights w of classifier-free guidance (Ho and Salimans
        2022), logits = c + sum of w (c - u), where u are the logits of a way's row, of the first levels. All rows of a
        stream get the same codes.

    Returns
    -------
    rows, codes
        The next histories, and int32 codes (streams, levels).
    """
    again = 1 + len(guidance)
    following, outlook = advance(params, config, rows, jnp.concatenate([played] * again), heard, cond)
    streams = len(played)
    coarser = jnp.zeros_like(outlook[:streams, 0])
    codes = []
    for level in range(config.levels):
        if level < GUIDED_LEVELS:
            every = level_logits(params, level, outlook[:, level], jnp.concatenate([coarser] * again))
            steered, *without = jnp.split(every, again)
            logits = steered
            for weight, free in zip(guidance, without, strict=True):
                logits = logits + weight[:, level, None] * (steered - free)
        else:
            logits = level_logits(params, level, outlook[:streams, level], coarser)
        tilted = logits + temperature[:, None] * noise[:, level]
        codes.append(_largest(jnp.where(most_likely(logits, top_k), tilted, -jnp.inf)))
        coarser = coarser + params["codes"][level][codes[-1]]
    return following, jnp.stack(codes, axis=-1)
