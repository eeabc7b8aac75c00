"""Parts that the OpenVINO graphs of several models are made of: compressed weights, norms, heads, feed-forward.

A graph is made once, from NumPy weights, and reads them for ever after; nothing here holds a stream's state. Values
are float32 whatever the weights are kept as: a compressed weight is a constant, a conversion and a scale in the graph,
which the processor plugin runs as one product that widens the weights on its way.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import openvino as ov
from ml_dtypes import bfloat16
from numpy.typing import NDArray
from openvino import opset13 as op

__all__ = [
    "PRECISIONS",
    "FeedForward",
    "Floats",
    "Precision",
    "given",
    "layer_norm",
    "linear",
    "out_kernel",
    "request",
    "rms_norm",
    "split_heads",
    "summed",
    "weight",
]

Floats = NDArray[np.float32]

Precision = Literal["f32", "bf16", "int8", "int4"]
"""How weights are kept. int8 and int4 are symmetric, with a scale an output, or for every GROUP inputs of an output."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

GROUP = 128
_BLOCK = 1 << 18
"""Weights that are quantised at a time: a megabyte, which caches hold."""

EPSILON = 1e-6
"""Of every norm of Magenta RealTime 2."""


def weight(values: Floats, precision: Precision) -> Any:
    """Return a node that gives a matrix of weights.

    Parameters
    ----------
    values
        Float32 (outputs, inputs).
    precision
        How the graph keeps them. int4 needs `inputs` to be a multiple of GROUP, or to be fewer.

    Returns
    -------
    node
        Float32 (outputs, inputs).

    Raises
    ------
    ValueError
        If int4's groups don't fit.
    """
    outputs, inputs = values.shape
    if precision == "f32":
        return op.constant(np.ascontiguousarray(values, np.float32))
    if precision == "bf16":
        return op.convert(_constant(values.astype(bfloat16), values.shape, ov.Type.bf16), np.float32)
    if precision == "int8":
        codes, scale = _quantised(values, 127)
        return op.multiply(op.convert(op.constant(codes), np.float32), op.constant(scale))
    group = min(GROUP, inputs)
    if inputs % group:
        raise ValueError(f"int4 weights of {inputs} inputs can't be grouped by {GROUP}: choose int8")
    codes, scale = _quantised(values.reshape(outputs, inputs // group, group), 7)
    pairs = codes.reshape(-1, 2).view(np.uint8) & 15
    packed = pairs[:, 0] | (pairs[:, 1] << 4)  # the first of two codes is the low half of a byte
    wide = op.multiply(op.convert(_constant(packed, codes.shape, ov.Type.i4), np.float32), op.constant(scale))
    return op.reshape(wide, np.array(values.shape), False)


def _constant(values: NDArray[Any], shape: tuple[int, ...], kind: Any) -> Any:
    """A constant of a type that NumPy doesn't have, from its bytes."""
    tensor = ov.Tensor(kind, list(shape))  # of its own memory: one that borrows an array doesn't keep it alive
    tensor.data.reshape(-1).view(np.uint8)[:] = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return op.constant(tensor)


def _quantised(values: Floats, largest: int) -> tuple[NDArray[np.int8], Floats]:
    """Codes -largest..largest, and the scale of each row of the last axis; some rows at a time, as caches like it."""
    codes, scale = np.empty(values.shape, np.int8), np.empty((*values.shape[:-1], 1), np.float32)
    some = max(1, _BLOCK // values[0].size)
    for start in range(0, len(values), some):
        part = slice(start, start + some)
        block = np.abs(values[part])
        np.divide(np.max(block, axis=-1, keepdims=True), np.float32(largest), out=scale[part])
        scale[part][scale[part] == 0] = 1
        codes[part] = np.rint(np.divide(values[part], scale[part], out=block), out=block)
    return codes, scale


def given(name: str, shape: list[int], kind: Any = np.float32) -> Any:
    """Return an input of the graph that is found by its name."""
    node = op.parameter(shape, kind, name)
    node.output(0).set_names({name})
    return node


def linear(x: Any, matrix: Any, bias: Floats | None = None) -> Any:
    """Return ``x @ matrix.T + bias`` for a node from :func:`weight`."""
    y = op.matmul(x, matrix, False, True)
    return y if bias is None else op.add(y, op.constant(np.asarray(bias, np.float32).reshape(1, -1)))


def rms_norm(x: Any, scale: Floats) -> Any:
    """Divide each row by its root mean square and scale it (Zhang and Sennrich 2019)."""
    axis = op.constant(np.array([-1], np.int64))
    mean = op.reduce_mean(op.power(x, np.float32(2)), axis, keep_dims=True)
    normed = op.multiply(x, op.divide(np.float32(1), op.sqrt(op.add(mean, np.float32(EPSILON)))))
    return op.multiply(normed, op.constant(np.asarray(scale, np.float32).reshape(1, -1)))


def layer_norm(x: Any, scale: Floats, bias: Floats) -> Any:
    """Normalise each row to mean 0 and variance 1, then scale and shift it."""
    normed = op.mvn(x, op.constant(np.array([-1], np.int64)), True, EPSILON, "inside_sqrt")
    scaled = op.multiply(normed, op.constant(np.asarray(scale, np.float32).reshape(1, -1)))
    return op.add(scaled, op.constant(np.asarray(bias, np.float32).reshape(1, -1)))


def split_heads(x: Any, parts: int, heads: int, size: int) -> list[Any]:
    """Cut (frames, parts * heads * size) into `parts` nodes of (heads, frames, size)."""
    frames = x.output(0).shape[0]
    if frames > 1:
        apart = op.transpose(op.reshape(x, np.array([frames, parts, heads, size]), False), np.array([1, 2, 0, 3]))
    else:
        apart = op.reshape(x, np.array([parts, heads, 1, size]), False)
    if parts == 1:
        return [op.squeeze(apart, np.array([0]))]
    cut = op.split(apart, np.int64(0), parts)
    return [op.squeeze(cut.output(part), np.array([0])) for part in range(parts)]


def summed(x: Any, axis: int) -> Any:
    """Sum over an axis, which goes."""
    return op.reduce_sum(x, op.constant(np.array([axis], np.int64)), keep_dims=False)


def out_kernel(attention: Mapping[str, Any]) -> Floats:
    """Return the kernel of an attention's output projection, (outputs, inputs)."""
    kernel = np.asarray(attention["output_projection"]["kernel"], np.float32)
    return kernel.reshape(len(kernel), -1)


class FeedForward:
    """The last part of a block, norms and residual included: its weights once, for as many calls as there are."""

    def __init__(self, part: Mapping[str, Any], precision: Precision) -> None:
        self._part = part
        self._wide = weight(part["ffn_layer1"]["kernel"].T, precision)
        self._narrow = weight(part["ffn_layer2"]["kernel"].T, precision)

    def __call__(self, x: Any) -> Any:
        """Return (frames, width) for the like."""
        part = self._part
        y = linear(rms_norm(x, part["pre_norm"]["scale"]), self._wide, part["ffn_layer1"]["bias"])
        y = linear(op.gelu(y, "tanh"), self._narrow, part["ffn_layer2"]["bias"])
        return op.add(x, rms_norm(y, part["post_norm"]["scale"]))


def request(model: ov.Model, threads: int, precision: Literal["f32", "bf16"] = "f32") -> ov.InferRequest:
    """Compile a graph for the processor, as a live player needs it; return what runs it.

    Parameters
    ----------
    model
        The graph; its constants are packed for the processor and can go.
    threads
        1 or more.
    precision
        In which convolutions and products are computed.
    """
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # the audio server's threads choose their processors first
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": GROUP,  # int4 only: what its weights meet is taken as int8
    }
    return ov.Core().compile_model(model, "CPU", settings).create_infer_request()
