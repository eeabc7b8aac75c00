"""The depthformer of Magenta RealTime 2 as one OpenVINO graph: from the codes of a frame to those of the next.

A call reads every weight of the temporal stack once and goes through the depth stack for all levels, sampling included.
The graph reads the rings of keys and values from its inputs and gives the rows of the present; whoever calls it writes
these into the rings, so that a frame moves one row of each ring and never a ring.

Invariants: the rings' slot 0 holds the sinks, slots 1.. the frames before the present one, in any order. Sampling noise
is an input. Only the columns of the head that a level may choose are computed.

Architecture and constants are those of `magenta-rt` 2.0.3; weights are its parameter tree by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from jackdaw.engine.models.mrt2_config import RESERVED, MRT2Config
from jackdaw.engine.runtime.openvino_graph import (
    Floats,
    Precision,
    attend,
    given,
    layer_norm,
    linear,
    rms_norm,
    split_heads,
    weight,
)

__all__ = ["RING_PARTS", "Tree", "lm_graph", "sinks"]

Tree = Mapping[str, Any]

RING_PARTS = 4
"""Rings of a temporal layer: keys and values of the self-attention, keys and values of the cross-attention."""

_CAP = 30.0
_NEVER = -1e30
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
            attention = stack[f"x_layers_{index}"][name]["attention"]
            rows += [
                attention["sink_key_embeddings"][0] / _query_scale(attention),
                attention["sink_value_embeddings"][0],
            ]
    heads, size = config.temporal.heads, config.temporal.head_size
    return np.stack(rows).astype(np.float32).reshape(config.temporal.layers, RING_PARTS, heads, size)


def _projection(attention: Tree, names: tuple[str, ...], *, scaled: bool = True) -> Floats:
    """Kernels of several projections side by side, (outputs, inputs); the query's with its scale."""
    kernels = []
    for name in names:
        kernel = np.asarray(attention[f"{name}_projection"]["kernel"], np.float32)
        if scaled and name == "query":
            kernel = kernel * _query_scale(attention)
        kernels.append(kernel.reshape(len(kernel), -1).T)
    return np.concatenate(kernels)


def _out(part: Tree) -> Floats:
    kernel = np.asarray(part["output_projection"]["kernel"], np.float32)
    return kernel.reshape(len(kernel), -1)


@dataclass(frozen=True)
class _FeedForward:
    """The last part of a block, which both stacks share."""

    part: Tree
    wide: Any
    narrow: Any

    @classmethod
    def of(cls, part: Tree, precision: Precision) -> "_FeedForward":
        first, second = part["ffn_layer1"], part["ffn_layer2"]
        return cls(part, weight(first["kernel"].T, precision), weight(second["kernel"].T, precision))

    def __call__(self, x: Any) -> Any:
        y = linear(rms_norm(x, self.part["pre_norm"]["scale"]), self.wide, self.part["ffn_layer1"]["bias"])
        y = linear(op.gelu(y, "tanh"), self.narrow, self.part["ffn_layer2"]["bias"])
        return op.add(x, rms_norm(y, self.part["post_norm"]["scale"]))


def _conditioned(params: Tree, config: MRT2Config, condition: Any) -> Any:
    """Embed a frame's conditioning: (1, condition_width)."""
    body = params["depthformer"]["encoder"]["body"]
    style = body["layers_1"]["branched_mulan_embedder"]["mulan_embedder"]
    table = np.asarray(style["mulan_dequantizer"]["embedding"] @ style["depth_input_adapter"]["kernel"], np.float32)
    others = np.asarray(body["layers_1"]["branched_regular_embedder"]["regular_embedder"]["embedding"], np.float32)
    starts = np.concatenate([[0], np.cumsum(config.channel_rows)[:-1]])
    cut = op.variadic_split(condition, np.int64(0), np.array([config.style_levels, len(starts)]))
    axis = op.constant(np.array([0], np.int64))

    def looked_up(values: Any, rows: Any, begin: Any) -> Any:
        places = op.add(values, op.constant(begin.astype(np.int32)))
        return op.gather(op.constant(np.ascontiguousarray(rows)), places, np.int64(0))

    levels = np.arange(config.style_levels) * config.style_rows
    of_style = op.reduce_sum(looked_up(cut.output(0), table, levels), axis, keep_dims=True)
    of_others = op.reduce_mean(looked_up(cut.output(1), others, starts), axis, keep_dims=True)
    mixed = op.multiply(op.add(of_style, of_others), np.float32(0.5))
    return layer_norm(mixed, body["encoder_ln"]["scale"], body["encoder_ln"]["bias"])


def _temporal(params: Tree, config: MRT2Config, precision: Precision, x: Any, told: Any, rings: Any, mask: Any) -> Any:
    """Run the temporal stack on one frame; return its output (1, width) and the rows for the rings."""
    stack = params["depthformer"]["decoder"]["temporal_body"]["transformer"]
    heads, size = config.temporal.heads, config.temporal.head_size
    layers = [stack[f"x_layers_{index}"] for index in range(config.temporal.layers)]
    crossed = [_projection(layer["cross_attention"]["attention"], ("key", "value")) for layer in layers]
    crossing = split_heads(linear(told, weight(np.concatenate(crossed), precision)), 2 * len(layers), heads, size)
    rows = []
    for index, layer in enumerate(layers):
        part, ring = layer["self_attention"], rings[RING_PARTS * index :]
        matrix = weight(_projection(part["attention"], ("query", "key", "value")), precision)
        query, key, value = split_heads(linear(rms_norm(x, part["pre_norm"]["scale"]), matrix), 3, heads, size)
        y = linear(attend(query, ring[0], ring[1], mask, key, value), weight(_out(part), precision))
        x = op.add(x, rms_norm(y, part["post_norm"]["scale"]))
        rows += [key, value]

        part = layer["cross_attention"]
        matrix = weight(_projection(part["attention"], ("query",)), precision)
        (query,) = split_heads(linear(rms_norm(x, part["pre_norm"]["scale"]), matrix), 1, heads, size)
        key, value = crossing[2 * index : 2 * index + 2]
        y = linear(attend(query, ring[2], ring[3], mask, key, value), weight(_out(part), precision))
        x = op.add(x, rms_norm(y, part["post_norm"]["scale"]))
        rows += [key, value]

        x = _FeedForward.of(layer["ffn"], precision)(x)
    shape = np.array([len(layers), RING_PARTS, heads, size])
    return x, op.reshape(op.concat(rows, 0), shape, False)


class _DepthLayer:
    """A block of the depth stack: its weights once, for as many levels as call it."""

    def __init__(self, layer: Tree, config: MRT2Config, precision: Precision) -> None:
        self._part = layer["self_attention"]
        self._shape = config.depth.heads, config.depth.head_size
        self._into = weight(_projection(self._part["attention"], ("query", "key", "value")), precision)
        self._out = weight(_out(self._part), precision)
        self._forward = _FeedForward.of(layer["ffn"], precision)
        self._keys: list[Any] = []
        self._values: list[Any] = []

    def __call__(self, x: Any) -> Any:
        heads, size = self._shape
        y = linear(rms_norm(x, self._part["pre_norm"]["scale"]), self._into)
        query, key, value = split_heads(y, 3, heads, size)
        self._keys.append(key)
        self._values.append(value)
        keys = op.concat(self._keys, 1) if len(self._keys) > 1 else key
        values = op.concat(self._values, 1) if len(self._values) > 1 else value
        share = op.softmax(op.matmul(query, keys, False, True), 2)
        found = op.reshape(op.matmul(share, values, False, False), np.array([1, heads * size]), False)
        return self._forward(op.add(x, rms_norm(linear(found, self._out), self._part["post_norm"]["scale"])))


def _chosen(logits: Any, noise: Any, temperature: Any, last: Any) -> Any:
    """Choose a code: int32 (1,). Of the top-k (all that equal the least of them, too), the largest with its noise."""
    codebook = logits.output(0).shape[1]
    ordered = op.topk(logits, np.int32(codebook), 1, "max", "value", "i32").output(0)
    least = op.gather(ordered, last, np.int64(1))
    tilted = op.add(logits, op.multiply(temperature, noise))
    among = op.select(op.greater_equal(logits, least), tilted, op.constant(np.full((1, 1), _NEVER, np.float32)))
    best = op.topk(among, np.int32(1), 1, "max", "none", "i32").output(1)
    return op.reshape(best, np.array([1]), False)


def lm_graph(params: Tree, config: MRT2Config, precision: Precision) -> ov.Model:
    """Build the graph of a frame.

    Parameters
    ----------
    params
        The official tree below ``params/``; ``depthformer`` of it is read.
    config
        Its sizes.
    precision
        How matrices are kept; tables, norms and biases stay float32.

    Returns
    -------
    model
        Inputs, in order:

        - ``ids`` int32 (levels,): the last frame's, 0 before the first
        - ``condition`` int32 (channels,): a row of :func:`~jackdaw.engine.models.mrt2_conditioning.channels`
        - ``mask`` float32 (1, 1, window + 1): 0, or a large negative number where a slot is empty
        - ``noise`` float32 (levels, codebook), ``temperature`` float32 (1, 1), ``last`` int32 (1,), top-k less one
        - ``forced`` int32 (levels,): codes to take instead of choosing; -1 chooses
        - for every layer the RING_PARTS rings, float32 (heads, window + 1, size)

        Outputs:

        - ``codes`` int32 (levels,)
        - ``rows`` float32 (layers, RING_PARTS, heads, size), to be written into the rings
        - ``logits`` float32 (levels, codebook), capped
    """
    decoder = params["depthformer"]["decoder"]
    size, levels = config.temporal, config.levels
    slots = config.window + 1

    ids, forced = given("ids", [levels], np.int32), given("forced", [levels], np.int32)
    condition = given("condition", [config.style_levels + len(config.channel_rows)], np.int32)
    mask, noise = given("mask", [1, 1, slots]), given("noise", [levels, config.codebook])
    temperature, last = given("temperature", [1, 1]), given("last", [1], np.int32)
    rings = [given(f"ring_{at}", [size.heads, slots, size.head_size]) for at in range(RING_PARTS * size.layers)]

    table = np.asarray(decoder["decoder_embedding"]["embedding"]["embedding"], np.float32) * np.float32(size.width**0.5)
    mean = op.reduce_mean(
        op.gather(op.constant(table), ids, np.int64(0)), op.constant(np.array([0], np.int64)), keep_dims=True
    )
    outlook, rows = _temporal(params, config, precision, mean, _conditioned(params, config, condition), rings, mask)

    body = decoder["depth_body"]
    adapter = np.asarray(body["depth_input_adapter"]["kernel"], np.float32)
    adapted = op.constant(table @ adapter)
    blocks = [
        _DepthLayer(body["transformer"][f"x_layers_{index}"], config, precision) for index in range(config.depth.layers)
    ]
    x = linear(outlook, weight(adapter.T, precision))
    per_level = [op.split(node, np.int64(0), levels) for node in (noise, forced)]
    codes, logits = [], []
    for level in range(levels):
        for block in blocks:
            x = block(x)
        legal = slice(RESERVED + level * config.codebook, RESERVED + (level + 1) * config.codebook)
        head = body["to_logits"]
        x = layer_norm(x, body["final_ln"]["scale"], body["final_ln"]["bias"])
        matrix = weight(head["kernel"][:, legal].T / _CAP, precision)  # a factor in the graph would widen the weights
        x = op.multiply(op.tanh(linear(x, matrix, head["bias"][legal] / _CAP)), np.float32(_CAP))
        logits.append(x)
        fixed = per_level[1].output(level)
        free = op.less(fixed, np.int32(0))
        codes.append(op.select(free, _chosen(x, per_level[0].output(level), temperature, last), fixed))
        if level + 1 < levels:
            x = op.gather(adapted, op.add(codes[-1], np.int32(legal.start)), np.int64(0))
    results = {"codes": op.concat(codes, 0), "rows": rows, "logits": op.concat(logits, 0)}
    outputs = [op.result(node, name=name) for name, node in results.items()]
    return ov.Model(outputs, [ids, condition, mask, noise, temperature, last, forced, *rings], config.name)
