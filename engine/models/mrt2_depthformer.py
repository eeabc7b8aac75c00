"""The depthformer of Magenta RealTime 2: the temporal stack and the depth stack, offline and frame by frame.

All functions are pure, over the tree of an official checkpoint (``params["depthformer"]["decoder"]``), in float32.

- The temporal stack takes in the mean of the embeddings of the frame before, attends to itself and to the conditioning,
  both over a window of frames that ends with the present one, and gives a vector, the outlook.
- The depth stack turns an outlook into the logits of a frame's codes, each level knowing the coarser ones. The official
  head has a column for every code of every level; only those of the present level are computed.

There is no position anywhere: a window tells how old a key is by nothing but its end, and the order of codes is in
their ids. The learned sink is a key and a value that every query finds beside the window; its logit is the bare product
with the unscaled query, as it was trained.

A ring has SPARE slots beyond the window, so that the last frames can be taken back (:func:`rewound`) and taken in again
with other codes, when it is known what was played over them.

Invariants: stepping gives what :func:`temporal` and :func:`depth` give over whole sequences. Rows of a batch do not see
each other. States are values, and :func:`advance` reads and writes every ring once.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jackdaw.engine.models.mrt2_conditioning import layer_norm
from jackdaw.engine.models.mrt2_config import RESERVED, MRT2Config

__all__ = [
    "NOTHING",
    "SOFT_CAP",
    "SPARE",
    "Coarser",
    "Pair",
    "Params",
    "advance",
    "depth",
    "depth_step",
    "embedded",
    "init",
    "prepared",
    "rewound",
    "taken_in",
    "temporal",
]

Params = Mapping[str, Any]
"""A checkpoint's tree below ``params/depthformer/decoder``, from :func:`prepared`."""

Pair = tuple[jax.Array, jax.Array]
"""Keys and values, each (rows, slots, heads, head size)."""

NOTHING = -1
"""The code of every level before a stream's first frame."""

SOFT_CAP = 30.0
"""Logits are bent smoothly to stay within this."""

SPARE = 3
"""How many frames can be taken back."""

_LOG2_E = 1.442695041  # of the reference's scale: softplus(0) / log(2) = 1
_HIDDEN = -1e9


def prepared(params: Mapping[str, Any], config: MRT2Config) -> dict[str, Any]:
    """Return a decoder's tree with its head cut by level, so that a step reads only the columns that it needs.

    Parameters
    ----------
    params
        ``params["depthformer"]["decoder"]`` of a checkpoint, NumPy arrays.
    config
        Of the model.
    """
    head = params["depth_body"]["to_logits"]
    cuts = [slice(RESERVED + n * config.codebook, RESERVED + (n + 1) * config.codebook) for n in range(config.levels)]
    levels = tuple(
        {"kernel": np.ascontiguousarray(head["kernel"][:, cut]), "bias": np.asarray(head["bias"][cut])} for cut in cuts
    )
    return {**params, "depth_body": {**params["depth_body"], "to_logits": levels}}


def _rms_norm(params: Params, x: jax.Array) -> jax.Array:
    return x * lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-6) * params["scale"]


def _heads(kernel: jax.Array, x: jax.Array) -> jax.Array:
    """Project (..., width) to (..., heads, head size)."""
    return (x @ kernel.reshape(kernel.shape[0], -1)).reshape(*x.shape[:-1], *kernel.shape[1:])


def _joined(kernel: jax.Array, x: jax.Array) -> jax.Array:
    """Project (..., heads, head size) to (..., width)."""
    flat = kernel.reshape(kernel.shape[0], -1)
    return x.reshape(*x.shape[:-2], -1) @ flat.T


def _attended(params: Params, q: jax.Array, keys: jax.Array, values: jax.Array, seen: jax.Array) -> jax.Array:
    """Attend.

    Parameters
    ----------
    params
        Of the attention.
    q
        Float32 (rows, queries, heads, head size).
    keys, values
        Float32 (rows, slots, heads, head size).
    seen
        Bool (queries, slots).
    """
    scale = (_LOG2_E / np.sqrt(q.shape[-1])) * jax.nn.softplus(params["per_dim_scale"])
    scores = jnp.einsum("bqhd,bkhd->bhqk", q * scale, keys)
    scores = jnp.where(seen, scores, _HIDDEN)
    if "sink_key_embeddings" not in params:
        return jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, axis=-1), values)
    sinks = jnp.einsum("bqhd,khd->bhqk", q, params["sink_key_embeddings"])
    count = sinks.shape[-1]
    weights = jax.nn.softmax(jnp.concatenate([sinks, scores], axis=-1), axis=-1)
    found = jnp.einsum("bhqk,bkhd->bqhd", weights[..., count:], values)
    return found + jnp.einsum("bhqk,khd->bqhd", weights[..., :count], params["sink_value_embeddings"])


def _taken(params: Params, x: jax.Array) -> Pair:
    """Return the key and the value of what is attended to."""
    attention = params["attention"]
    return _heads(attention["key_projection"]["kernel"], x), _heads(attention["value_projection"]["kernel"], x)


def _attention(params: Params, x: jax.Array, normed: jax.Array, pair: Pair, seen: jax.Array) -> jax.Array:
    q = _heads(params["attention"]["query_projection"]["kernel"], normed)
    found = _attended(params["attention"], q, pair[0], pair[1], seen)
    return x + _rms_norm(params["post_norm"], _joined(params["output_projection"]["kernel"], found))


def _feed_forward(params: Params, x: jax.Array) -> jax.Array:
    first, second = params["ffn_layer1"], params["ffn_layer2"]
    hidden = jax.nn.gelu(_rms_norm(params["pre_norm"], x) @ first["kernel"] + first["bias"], approximate=True)
    return x + _rms_norm(params["post_norm"], hidden @ second["kernel"] + second["bias"])


def _layers(params: Params) -> list[Params]:
    return [params[f"x_layers_{layer}"] for layer in range(len(params))]


def embedded(params: Params, config: MRT2Config, codes: jax.Array, first: int = 0) -> jax.Array:
    """Look up codes.

    Parameters
    ----------
    params, config
        Of the model.
    codes
        Int32 (..., levels): 0 .. codebook - 1, or NOTHING.
    first
        The level of the first of them.

    Returns
    -------
    array
        Float32 (..., levels, width).
    """
    table = params["decoder_embedding"]["embedding"]["embedding"]
    levels = np.arange(first, first + codes.shape[-1], dtype=np.int32)
    ids = jnp.where(codes == NOTHING, 0, RESERVED + levels * config.codebook + codes)
    return table[ids] * np.float32(np.sqrt(config.temporal.width))


def taken_in(params: Params, config: MRT2Config, codes: jax.Array) -> jax.Array:
    """Return the temporal stack's input, float32 (..., width), of the frame before, int32 (..., levels)."""
    return jnp.mean(embedded(params, config, codes), axis=-2)


def temporal(params: Params, config: MRT2Config, codes: jax.Array, conditioning: jax.Array) -> jax.Array:
    """Return the outlooks of whole sequences.

    Parameters
    ----------
    params, config
        Of the model.
    codes
        Int32 (rows, frames, levels): for each frame the one before it, the first being NOTHING.
    conditioning
        Float32 (rows, frames, condition_width).

    Returns
    -------
    array
        Float32 (rows, frames, width).
    """
    frames = np.arange(codes.shape[1])
    age = frames[:, None] - frames
    seen = jnp.asarray((age >= 0) & (age <= config.window))
    x = taken_in(params, config, codes)
    for block in _layers(params["temporal_body"]["transformer"]):
        own, other = block["self_attention"], block["cross_attention"]
        normed = _rms_norm(own["pre_norm"], x)
        x = _attention(own, x, normed, _taken(own, normed), seen)
        x = _attention(other, x, _rms_norm(other["pre_norm"], x), _taken(other, conditioning), seen)
        x = _feed_forward(block["ffn"], x)
    return x


def init(config: MRT2Config, rows: int = 1) -> dict[str, Any]:
    """Return the state of a temporal stack that has seen nothing: a ring for each attention, and the frame's number."""
    stack = config.temporal
    shape = (rows, config.window + 1 + SPARE, stack.heads, stack.head_size)
    empty = tuple(
        {"keys": np.zeros(shape, np.float32), "values": np.zeros(shape, np.float32)} for _ in range(stack.layers)
    )
    return {"frame": np.int32(0), "self": empty, "cross": empty}


def rewound(state: Mapping[str, Any], frames: int) -> dict[str, Any]:
    """Return the state that a stream had some frames ago, up to SPARE, and no more than it has taken in."""
    return {**state, "frame": np.int32(int(state["frame"]) - frames)}


def advance(
    params: Params, config: MRT2Config, state: Mapping[str, Any], codes: jax.Array, conditioning: jax.Array
) -> tuple[dict[str, Any], jax.Array]:
    """Take in a frame.

    Parameters
    ----------
    params, config
        Of the model.
    state
        From :func:`init` or an earlier step.
    codes
        Int32 (rows, levels): the frame before.
    conditioning
        Float32 (rows, condition_width).

    Returns
    -------
    state, outlook
        The next state, and float32 (rows, width).
    """
    slots = config.window + 1 + SPARE
    now = state["frame"]
    age = (now - jnp.arange(slots)) % slots
    seen = ((age <= config.window) & (age <= now))[None]

    def written(ring: Mapping[str, jax.Array], pair: Pair) -> dict[str, jax.Array]:
        at = (0, now % slots, 0, 0)
        return {
            name: lax.dynamic_update_slice(ring[name], new, at)
            for name, new in zip(("keys", "values"), pair, strict=True)
        }

    x = taken_in(params, config, codes)[:, None]
    told = conditioning[:, None]
    selves, crosses = [], []
    for layer, block in enumerate(_layers(params["temporal_body"]["transformer"])):
        own, other = block["self_attention"], block["cross_attention"]
        normed = _rms_norm(own["pre_norm"], x)
        selves.append(written(state["self"][layer], _taken(own, normed)))
        x = _attention(own, x, normed, (selves[-1]["keys"], selves[-1]["values"]), seen)
        crosses.append(written(state["cross"][layer], _taken(other, told)))
        x = _attention(other, x, _rms_norm(other["pre_norm"], x), (crosses[-1]["keys"], crosses[-1]["values"]), seen)
        x = _feed_forward(block["ffn"], x)
    # once every slot is written, also after frames were taken back, only the place in the ring matters
    frame = jnp.where(now + 1 >= 3 * slots, now + 1 - slots, now + 1)
    return {"frame": frame, "self": tuple(selves), "cross": tuple(crosses)}, x[:, 0]


def _head(params: Params, x: jax.Array, level: int) -> jax.Array:
    cut = params["to_logits"][level]
    logits = layer_norm(params["final_ln"], x) @ cut["kernel"] + cut["bias"]
    return jnp.tanh(logits / SOFT_CAP) * SOFT_CAP


def depth(params: Params, config: MRT2Config, outlook: jax.Array, codes: jax.Array) -> jax.Array:
    """Return the logits of whole frames, their codes being known.

    Parameters
    ----------
    params, config
        Of the model.
    outlook
        Float32 (rows, width), from the temporal stack.
    codes
        Int32 (rows, levels): the frames' own codes; the last level's is not looked at.

    Returns
    -------
    array
        Float32 (rows, levels, codebook).
    """
    body = params["depth_body"]
    x = jnp.concatenate([outlook[:, None], embedded(params, config, codes[:, :-1])], axis=1)
    x = x @ body["depth_input_adapter"]["kernel"]
    levels = np.arange(config.levels)
    seen = jnp.asarray(levels[:, None] >= levels)
    for block in _layers(body["transformer"]):
        own = block["self_attention"]
        normed = _rms_norm(own["pre_norm"], x)
        x = _feed_forward(block["ffn"], _attention(own, x, normed, _taken(own, normed), seen))
    return jnp.stack([_head(body, x[:, level], level) for level in range(config.levels)], axis=1)


Coarser = tuple[Pair, ...]
"""Keys and values of each layer of the depth stack for a frame's coarser levels."""


def depth_step(params: Params, coarser: Coarser, x: jax.Array, level: int) -> tuple[Coarser, jax.Array]:
    """Return the logits of one level.

    Parameters
    ----------
    params
        Of the model.
    coarser
        From the level before; empty for the first.
    x
        Float32 (rows, width): the outlook for the first level, for others the embedding of the code before.
    level
        Which.

    Returns
    -------
    coarser, logits
        For the next level, and float32 (rows, codebook).
    """
    body = params["depth_body"]
    x = (x @ body["depth_input_adapter"]["kernel"])[:, None]
    known = []
    for layer, block in enumerate(_layers(body["transformer"])):
        own = block["self_attention"]
        normed = _rms_norm(own["pre_norm"], x)
        pair = _taken(own, normed)
        if coarser:
            before, new = coarser[layer], pair
            pair = jnp.concatenate([before[0], new[0]], axis=1), jnp.concatenate([before[1], new[1]], axis=1)
        known.append(pair)
        x = _feed_forward(block["ffn"], _attention(own, x, normed, pair, jnp.ones((1, level + 1), bool)))
    return tuple(known), _head(body, x[:, 0], level)
