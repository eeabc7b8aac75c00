"""The depth stack of Magenta RealTime 2 as an OpenVINO graph: from a frame's outlook to its codes, level by level.

A call goes through all levels. Sampling is in the graph: a code is looked up for the next level without leaving it.
Noise is an input. Of the head, which has a column for every code of every level, only those columns are computed that a
level may choose.

Architecture and constants are those of `magenta-rt` 2.0.3; weights are its parameter tree by name.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from jackdaw.engine.models.mrt2_config import RESERVED, MRT2Config
from jackdaw.engine.runtime.openvino_graph import (
    FeedForward,
    Precision,
    given,
    layer_norm,
    linear,
    out_kernel,
    rms_norm,
    split_heads,
    weight,
)
from jackdaw.engine.runtime.openvino_temporal import projection, scaled_table

__all__ = ["depth_graph"]

Tree = Mapping[str, Any]

_CAP = 30.0
_NEVER = -1e30


class _Layer:
    """A block of the stack: its weights once, for as many levels as call it."""

    def __init__(self, layer: Tree, config: MRT2Config, precision: Precision) -> None:
        self._part = layer["self_attention"]
        self._shape = config.depth.heads, config.depth.head_size
        self._into = weight(projection(self._part["attention"], "query", "key", "value"), precision)
        self._out = weight(out_kernel(self._part), precision)
        self._forward = FeedForward(layer["ffn"], precision)
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


def depth_graph(params: Tree, config: MRT2Config, precision: Precision) -> ov.Model:
    """Build the graph.

    Parameters
    ----------
    params
        The official tree below ``params/``; ``depthformer/decoder`` of it is read.
    config
        Its sizes.
    precision
        How matrices are kept; tables, norms and biases stay float32.

    Returns
    -------
    model
        Inputs:

        - ``outlook`` float32 (1, width), from the temporal stack
        - ``noise`` float32 (levels, codebook), ``temperature`` float32 (1, 1), ``last`` int32 (1,): top-k less one
        - ``forced`` int32 (levels,): codes to take instead of choosing; -1 chooses

        Outputs: ``codes`` int32 (levels,); ``logits`` float32 (levels, codebook), capped.
    """
    outlook = given("outlook", [1, config.temporal.width])
    noise, forced = given("noise", [config.levels, config.codebook]), given("forced", [config.levels], np.int32)
    temperature, last = given("temperature", [1, 1]), given("last", [1], np.int32)

    body = params["depthformer"]["decoder"]["depth_body"]
    adapter = np.asarray(body["depth_input_adapter"]["kernel"], np.float32)
    adapted = op.constant(scaled_table(params, config) @ adapter)
    head, norm = body["to_logits"], body["final_ln"]
    layers = [_Layer(body["transformer"][f"x_layers_{at}"], config, precision) for at in range(config.depth.layers)]
    x = linear(outlook, weight(adapter.T, precision))
    noises, fixed = (op.split(node, np.int64(0), config.levels) for node in (noise, forced))
    codes, logits = [], []
    for level in range(config.levels):
        for layer in layers:
            x = layer(x)
        legal = slice(RESERVED + level * config.codebook, RESERVED + (level + 1) * config.codebook)
        matrix = weight(head["kernel"][:, legal].T / _CAP, precision)  # a factor in the graph would widen the weights
        x = linear(layer_norm(x, norm["scale"], norm["bias"]), matrix, head["bias"][legal] / _CAP)
        logits.append(op.multiply(op.tanh(x), np.float32(_CAP)))
        code = _chosen(logits[-1], noises.output(level), temperature, last)
        codes.append(op.select(op.less(fixed.output(level), np.int32(0)), code, fixed.output(level)))
        x = op.gather(adapted, op.add(codes[-1], np.int32(legal.start)), np.int64(0))
    outputs = [op.result(op.concat(codes, 0), name="codes"), op.result(op.concat(logits, 0), name="logits")]
    return ov.Model(outputs, [outlook, noise, temperature, last, forced], f"{config.name}_depth")
