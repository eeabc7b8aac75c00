"""The temporal stack of Magenta RealTime 2 as an OpenVINO graph: it takes in frames and gives the last one's outlook.

A call reads every weight once, be it for one frame or for several whose codes are known. The graph reads the rings of
keys and values from its inputs and gives the rows of its frames; whoever calls it writes these into the rings, so that
a frame moves one row of each ring and never a ring.

Invariants: slot 0 of a ring holds the sinks, slots 1.. frames before the present ones, in any order, for nothing tells
positions. What a frame may see is an input, the mask.

Architecture and constants are those of `magenta-rt` 2.0.3; weights are its parameter tree by name.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from jackdaw.engine.models.mrt2_config import MRT2Config
from jackdaw.engine.runtime.openvino_graph import (
    FeedForward,
    Floats,
    Precision,
    given,
    layer_norm,
    linear,
    out_kernel,
    rms_norm,
    split_heads,
    summed,
    weight,
)

__all__ = ["RING_PARTS", "projection", "scaled_table", "sinks", "temporal_graph"]

Tree = Mapping[str, Any]

RING_PARTS = 4
"""Rings of a layer: keys and values of the self-attention, keys and values of the cross-attention."""

_LOG2_E = 1.442695041


def _query_scale(attention: Tree) -> Floats:
    """What each dimension of a query is multiplied by: (log2(e) / sqrt(size)) softplus(per_dim_scale)."""
    free = np.asarray(attention["per_dim_scale"], np.float64)
    return np.asarray(_LOG2_E / np.sqrt(free.size) * np.logaddexp(0, free), np.float32)


def sinks(params: Tree, config: MRT2Config) -> Floats:
    """Return what slot 0 of the rings holds: (layers, RING_PARTS, heads, size).

    The model's logit of a sink is its key times the query before scaling, so the keys are divided by the scale.
    """
    stack = params["depthformer"]["decoder"]["temporal_body"]["transformer"]
    rows = []
    for index in range(config.temporal.layers):
        for name in ("self_attention", "cross_attention"):
            part = stack[f"x_layers_{index}"][name]["attention"]
            rows += [part["sink_key_embeddings"][0] / _query_scale(part), part["sink_value_embeddings"][0]]
    heads, size = config.temporal.heads, config.temporal.head_size
    return np.stack(rows).astype(np.float32).reshape(config.temporal.layers, RING_PARTS, heads, size)


def projection(attention: Tree, *names: str) -> Floats:
    """Return kernels of several projections side by side, (outputs, inputs); the query's with its scale."""
    kernels = []
    for name in names:
        kernel = np.asarray(attention[f"{name}_projection"]["kernel"], np.float32)
        if name == "query":
            kernel = kernel * _query_scale(attention)
        kernels.append(kernel.reshape(len(kernel), -1).T)
    return np.concatenate(kernels)


def scaled_table(params: Tree, config: MRT2Config) -> Floats:
    """Return the embeddings of all ids, (vocabulary, width), times the root of the width."""
    table = params["depthformer"]["decoder"]["decoder_embedding"]["embedding"]["embedding"]
    return np.asarray(table, np.float32) * np.float32(config.temporal.width**0.5)


def _conditioned(params: Tree, config: MRT2Config, condition: Any) -> Any:
    """Embed the conditioning of frames: (frames, condition_width)."""
    body = params["depthformer"]["encoder"]["body"]
    style = body["layers_1"]["branched_mulan_embedder"]["mulan_embedder"]
    table = np.asarray(style["mulan_dequantizer"]["embedding"] @ style["depth_input_adapter"]["kernel"], np.float32)
    others = np.asarray(body["layers_1"]["branched_regular_embedder"]["regular_embedder"]["embedding"], np.float32)
    levels = np.arange(config.style_levels) * config.style_rows
    starts = np.concatenate([[0], np.cumsum(config.channel_rows)[:-1]])
    cut = op.variadic_split(condition, np.int64(1), np.array([len(levels), len(starts)]))

    def looked_up(values: Any, rows: Any, begin: Any) -> Any:
        return op.gather(op.constant(rows), op.add(values, op.constant(begin.astype(np.int32)[None])), np.int64(0))

    of_style = summed(looked_up(cut.output(0), table, levels), 1)
    of_others = _scaled(summed(looked_up(cut.output(1), others, starts), 1), 1 / len(starts))
    mixed = _scaled(op.add(of_style, of_others), 0.5)
    return layer_norm(mixed, body["encoder_ln"]["scale"], body["encoder_ln"]["bias"])


def _scaled(x: Any, factor: float) -> Any:
    return op.multiply(x, np.float32(factor))


def _attended(query: Any, ring: list[Any], mask: Any, key: Any, value: Any) -> Any:
    """Attend to a ring and to the present frames, which are not in it yet; the ring is read where it lies.

    Parameters
    ----------
    query, key, value
        (heads, frames, size), of the present; the query is scaled.
    ring
        Keys and values, (heads, slots, size).
    mask
        (1, frames, slots + frames): 0, or a large negative number for what a frame doesn't see.

    Returns
    -------
    node
        (frames, heads * size).
    """
    heads, frames, size = query.output(0).shape
    slots = ring[0].output(0).shape[1]
    scores = op.concat([op.matmul(query, ring[0], False, True), op.matmul(query, key, False, True)], 2)
    cut = op.variadic_split(op.softmax(op.add(scores, mask), 2), np.int64(2), np.array([slots, frames]))
    found = op.add(op.matmul(cut.output(0), ring[1], False, False), op.matmul(cut.output(1), value, False, False))
    if frames > 1:
        found = op.transpose(found, np.array([1, 0, 2]))
    return op.reshape(found, np.array([frames, heads * size]), False)


def temporal_graph(params: Tree, config: MRT2Config, precision: Precision, frames: int = 1) -> ov.Model:
    """Build the graph.

    Parameters
    ----------
    params
        The official tree below ``params/``; ``depthformer`` of it is read.
    config
        Its sizes.
    precision
        How matrices are kept; tables, norms and biases stay float32.
    frames
        How many it takes in at once.

    Returns
    -------
    model
        Inputs:

        - ``ids`` int32 (frames, levels): each time those of the frame before, 0 before the first
        - ``condition`` int32 (frames, channels): rows of :func:`~jackdaw.engine.models.mrt2_conditioning.channels`
        - ``mask`` float32 (1, frames, window + 1 + frames): 0, or a large negative number for what a frame doesn't see
        - for every layer RING_PARTS rings ``ring_0`` .., float32 (heads, window + 1, size)

        Outputs:

        - ``outlook`` float32 (1, width), of the last frame
        - ``rows`` float32 (layers, RING_PARTS, heads, frames, size), to be written into the rings
    """
    heads, size = config.temporal.heads, config.temporal.head_size
    slots = config.window + 1
    ids = given("ids", [frames, config.levels], np.int32)
    condition = given("condition", [frames, config.style_levels + len(config.channel_rows)], np.int32)
    mask = given("mask", [1, frames, slots + frames])
    rings = [given(f"ring_{at}", [heads, slots, size]) for at in range(RING_PARTS * config.temporal.layers)]

    stack = params["depthformer"]["decoder"]["temporal_body"]["transformer"]
    layers = [stack[f"x_layers_{index}"] for index in range(config.temporal.layers)]
    told = _conditioned(params, config, condition)
    crossed = [projection(layer["cross_attention"]["attention"], "key", "value") for layer in layers]
    crossing = split_heads(linear(told, weight(np.concatenate(crossed), precision)), 2 * len(layers), heads, size)
    embedded = op.gather(op.constant(scaled_table(params, config)), ids, np.int64(0))
    x = _scaled(summed(embedded, 1), 1 / config.levels)
    rows = []
    for index, layer in enumerate(layers):
        part, ring = layer["self_attention"], rings[RING_PARTS * index :]
        matrix = weight(projection(part["attention"], "query", "key", "value"), precision)
        query, key, value = split_heads(linear(rms_norm(x, part["pre_norm"]["scale"]), matrix), 3, heads, size)
        y = linear(_attended(query, ring[:2], mask, key, value), weight(out_kernel(part), precision))
        x = op.add(x, rms_norm(y, part["post_norm"]["scale"]))
        rows += [key, value]

        part = layer["cross_attention"]
        matrix = weight(projection(part["attention"], "query"), precision)
        (query,) = split_heads(linear(rms_norm(x, part["pre_norm"]["scale"]), matrix), 1, heads, size)
        key, value = crossing[2 * index : 2 * index + 2]
        y = linear(_attended(query, ring[2:4], mask, key, value), weight(out_kernel(part), precision))
        x = op.add(x, rms_norm(y, part["post_norm"]["scale"]))
        rows += [key, value]

        x = FeedForward(layer["ffn"], precision)(x)
    if frames > 1:
        x = op.slice(x, np.array([frames - 1]), np.array([frames]), np.array([1]), np.array([0]))
    made = op.reshape(op.concat(rows, 0), np.array([len(layers), RING_PARTS, heads, frames, size]), False)
    outputs = [op.result(x, name="outlook"), op.result(made, name="rows")]
    return ov.Model(outputs, [ids, condition, mask, *rings], f"{config.name}_temporal")
