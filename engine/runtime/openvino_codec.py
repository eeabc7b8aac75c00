"""The decoder of SpectroStream as one OpenVINO graph: a frame's embedding in, its share of the spectrum out.

Convolutions reach back in time only, so a stream's state is what each of them saw last: the graph reads these pasts as
inputs and gives the next ones as outputs, frequency before channels as the processor's kernels like it. The last
convolution reaches back over its own products instead of over its wide input.

Strides, widths and paddings follow from names and shapes of the official parameter tree (`magenta-rt` 2.0.3). A side
of the stereo picture is a row of the batch once the joint layers are through.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from jackdaw.engine.runtime.openvino_graph import Floats, Precision, given, linear, weight

__all__ = ["SIDES", "codec_graph"]

Tree = Mapping[str, Any]

SIDES = 2


class _Builder:
    """A graph as it grows: its pasts, in order of use. Nodes are (rows, channels, frames, bins)."""

    def __init__(self) -> None:
        self.pasts: list[Any] = []
        self.nexts: list[Any] = []

    def reach_back(self, x: Any, frames: int) -> Any:
        """Put the last `frames` frames of the step before in front."""
        rows, channels, now, bins = x.output(0).shape
        past = given(f"past_{len(self.pasts)}", [rows, frames, bins, channels])
        both = op.concat([op.transpose(past, np.array([0, 3, 1, 2])), x], 2)
        last = op.slice(both, np.array([now]), np.array([now + frames]), np.array([1]), np.array([2]))
        self.pasts.append(past)
        self.nexts.append(op.transpose(last, np.array([0, 2, 3, 1])))
        return both

    def convolved(self, x: Any, part: Tree) -> Any:
        """Convolve: causal in time, 'same' in frequency."""
        kernel = np.asarray(part["conv"]["kernel"], np.float32)
        reach, bins = kernel.shape[0] - 1, kernel.shape[1]
        if reach:
            x = self.reach_back(x, reach)
        filters = op.constant(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
        y = op.convolution(x, filters, [1, 1], [0, (bins - 1) // 2], [0, bins // 2], [1, 1])
        return _shifted(y, part["conv"]["bias"])

    def stretched(self, x: Any, part: Tree) -> Any:
        """Convolve and stretch: correlation over the input with zeros between, the newest meeting the last tap."""
        kernel = np.asarray(part["conv"]["kernel"], np.float32)
        taps, bins = kernel.shape[:2]
        along, across = _strides(kernel)
        past = -(-taps // along) - 1
        x = self.reach_back(x, past)
        left = bins - 1 - -(-(bins + across - 2) // 2)
        filters = op.constant(np.ascontiguousarray(kernel[::-1, ::-1].transpose(2, 3, 0, 1)))
        y = op.convolution_backprop_data(
            x,
            filters,
            [along, across],
            pads_begin=[past * along, left],
            pads_end=[taps - along, bins - across - left],
            dilations=[1, 1],
        )
        return _shifted(y, part["conv"]["bias"])

    def last(self, x: Any, part: Tree) -> Any:
        """Convolve to few channels: each tap in time is a channel, and these are added up along the diagonal."""
        kernel = np.asarray(part["conv"]["kernel"], np.float32)
        taps, bins, wide, narrow = kernel.shape
        filters = np.ascontiguousarray(kernel.transpose(0, 3, 2, 1).reshape(taps * narrow, wide, 1, bins))
        y = op.convolution(x, op.constant(filters), [1, 1], [0, (bins - 1) // 2], [0, bins // 2], [1, 1])
        frames = y.output(0).shape[2]
        y = self.reach_back(y, taps - 1)
        total = None
        for tap in range(taps):
            begin, end = np.array([narrow * tap, tap]), np.array([narrow * (tap + 1), tap + frames])
            part_of = op.slice(y, begin, end, np.array([1, 1]), np.array([1, 2]))
            total = part_of if total is None else op.add(total, part_of)
        return _shifted(total, part["conv"]["bias"])

    def unit(self, x: Any, part: Tree) -> Any:
        """A unit of the decoder: stretched, then convolved, beside a shortcut that repeats its values."""
        (name,) = (name for name in part if name.startswith("conv2dtranspose"))
        y = self.convolved(op.elu(self.stretched(op.elu(x, 1.0), part[name]), 1.0), part["conv2d_3x3"])
        if "shortcut_layer" in part:
            x = self.convolved(x, part["shortcut_layer"]["conv1x1"])
        size = y.output(0).shape[2:]
        if size != x.output(0).shape[2:]:
            x = op.interpolate(
                x,
                np.array(size),
                "nearest",
                "sizes",
                axes=np.array([2, 3]),
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        return op.add(x, y)


def _strides(kernel: Floats) -> tuple[int, int]:
    """By how much a transposed convolution stretches time and frequency: half its kernel, which is at least 3."""
    along, across = (size // 2 if size > 3 else 1 for size in kernel.shape[:2])
    return along, across


def _shifted(y: Any, bias: Floats) -> Any:
    return op.add(y, op.constant(np.asarray(bias, np.float32).reshape(1, -1, 1, 1)))


def codec_graph(decoder: Tree) -> ov.Model:
    """Build the graph of a frame.

    Parameters
    ----------
    decoder
        ``params/soundstream/decoder`` of the official tree.

    Returns
    -------
    model
        Inputs: ``embedding`` float32 (1, size), the sum of the frame's rows of the codebooks; then the pasts, float32
        (rows, frames, bins, channels), zeros at a stream's start. Outputs: ``spectrum`` float32 (SIDES, 2, frames,
        bins), real and imaginary parts; then the next pasts. The spectrum of frame t is complete with embedding t + 1:
        a look-ahead of one frame, which is left to the caller.
    """
    build = _Builder()
    precision: Precision = "f32"
    embedding = given("embedding", [1, decoder["input_layer"]["conv1x1_first"]["conv"]["kernel"].shape[2]])

    def projected(x: Any, part: Tree) -> Any:
        return linear(x, weight(part["conv"]["kernel"][0, 0].T, precision), part["conv"]["bias"])

    first, side = decoder["input_layer"]["conv1x1_first"], decoder["input_layer"]["shortcut_layer"]
    beside = projected(op.elu(projected(embedding, side["conv1x1_b1"]), 1.0), side["conv1x1_b2"])
    x = op.add(projected(embedding, first), beside)
    part = decoder["input_layers_residual_unit"]
    channels = part["conv2d_3x3_a"]["conv"]["kernel"].shape[2]
    x = op.transpose(op.reshape(x, np.array([1, 1, -1, channels]), False), np.array([0, 3, 1, 2]))
    y = build.convolved(op.elu(x, 1.0), part["conv2d_3x3_a"])
    x = op.add(x, build.convolved(op.elu(y, 1.0), part["conv2d_3x3"]))
    for index in range(sum(name.startswith("decoder_") for name in decoder)):
        x = build.unit(x, decoder[f"decoder_{index}"])
        if index == 0:  # the joint unit's channels are both sides, one after the other
            _rows, channels, frames, bins = x.output(0).shape
            x = op.reshape(x, np.array([SIDES, channels // SIDES, frames, bins]), False)
    x = build.last(op.elu(x, 1.0), decoder["output_layer"]["base_conv_last"])
    results = [op.result(x, name="spectrum")]
    results += [op.result(node, name=f"next_{index}") for index, node in enumerate(build.nexts)]
    return ov.Model(results, [embedding, *build.pasts], "spectrostream_decoder")
