"""The decoder of SpectroStream as two OpenVINO graphs: a frame's embedding in, its share of the spectrum out.

The first, the entry, has the dense layers that make a frame a column, a twelfth of the work; so whoever overlaps the
codec with something shorter can have it done on that side.

Convolutions reach back in time only, so a stream's state is what each of them saw last: the graph reads these pasts as
inputs and gives the next ones as outputs, frequency before channels as the processor's kernels like it. The last
convolution reaches back over its own products instead of over its wide input.

From the second unit on, a step has four spectral frames, and convolutions of three taps in time go through them by the
algorithm F(4, 3) of Winograd (Lavin and Gray 2016): six products instead of twelve. That halves the work; the error
grows to about -115 dB of the sound.

Strides, widths and paddings follow from names and shapes of the official parameter tree (`magenta-rt` 2.0.3). A side
of the stereo picture is a row of the batch once the joint layers are through.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from jackdaw.engine.runtime.openvino_graph import Floats, given, linear, weight

__all__ = ["CHANNELS_FIRST", "CHANNELS_LAST", "SIDES", "Builder", "Frames", "apart", "codec_graphs", "elu"]

Tree = Mapping[str, Any]

Frames = list[Any]
"""Spectral frames, oldest first, each a node (sides, channels, 1, bins)."""

SIDES = 2

CHANNELS_FIRST, CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
"""Orders of axes: from (sides, frames, bins, channels) to what nodes are, and back."""

_TILE, _TAPS = 4, 3

_KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
"""Winograd's transform of a kernel of three taps, for tiles of four; points 0, 1, -1, 2, -2 and infinity."""


def _strides(kernel: Floats) -> tuple[int, int]:
    """By how much a transposed convolution stretches time and frequency: half its kernel, which is at least 3."""
    along, across = (size // 2 if size > 3 else 1 for size in kernel.shape[:2])
    return along, across


def _padding(bins: int, across: int) -> tuple[int, int]:
    """Bins that a transposed convolution's result loses at its low and its high end."""
    low = bins - 1 - -(-(bins + across - 2) // 2)
    return low, bins - across - low


def _scaled(x: Any, factor: float) -> Any:
    return op.multiply(x, np.float32(factor))


def _to_tile(seen: Frames) -> Frames:
    """Winograd's transform of six frames."""
    a, b = op.subtract(seen[4], _scaled(seen[2], 4)), op.subtract(seen[3], _scaled(seen[1], 4))
    c, d = op.subtract(seen[4], seen[2]), _scaled(op.subtract(seen[3], seen[1]), 2)
    first = op.add(op.subtract(_scaled(seen[0], 4), _scaled(seen[2], 5)), seen[4])
    last = op.add(op.subtract(_scaled(seen[1], 4), _scaled(seen[3], 5)), seen[5])
    return [first, op.add(a, b), op.subtract(a, b), op.add(c, d), op.subtract(c, d), last]


def _from_tile(found: Frames) -> Frames:
    """Winograd's transform of six products to four frames."""
    a, b = op.add(found[1], found[2]), op.subtract(found[1], found[2])
    c, d = op.add(found[3], found[4]), op.subtract(found[3], found[4])
    return [
        op.add(op.add(found[0], a), c),
        op.add(b, _scaled(d, 2)),
        op.add(a, _scaled(c, 4)),
        op.add(op.add(b, _scaled(d, 8)), found[5]),
    ]


def elu(frames: Frames) -> Frames:
    """Bend each frame (Clevert et al. 2016)."""
    return [op.elu(frame, 1.0) for frame in frames]


def apart(x: Any) -> Frames:
    """Cut (sides, channels, frames, bins) into frames."""
    count = x.output(0).shape[2]
    if count == 1:
        return [x]
    one, axis = np.array([1]), np.array([2])
    return [op.slice(x, np.array([index]), np.array([index + 1]), one, axis) for index in range(count)]


def _shifted(frames: Frames, part: Tree) -> Frames:
    bias = op.constant(np.asarray(part["conv"]["bias"], np.float32).reshape(1, -1, 1, 1))
    return [op.add(frame, bias) for frame in frames]


class Builder:
    """A graph as it grows, with its pasts in order of use."""

    def __init__(self) -> None:
        self.pasts: list[Any] = []
        self.nexts: list[Any] = []

    def reach_back(self, frames: Frames, count: int) -> Frames:
        """Put the last `count` frames of the step before in front."""
        sides, channels, _one, bins = frames[0].output(0).shape
        pasts = [given(f"past_{len(self.pasts) + at}", [sides, 1, bins, channels]) for at in range(count)]
        seen = [op.transpose(past, np.array(CHANNELS_FIRST)) for past in pasts] + frames
        self.pasts += pasts
        self.nexts += [op.transpose(frame, np.array(CHANNELS_LAST)) for frame in seen[len(seen) - count :]]
        return seen

    def convolved(self, frames: Frames, part: Tree, along: int = 1, across: int = 1) -> Frames:
        """Convolve, by steps of so many frames and bins: causal in time, 'same' in frequency."""
        kernel = np.asarray(part["conv"]["kernel"], np.float32)
        around = max(kernel.shape[1] - across, 0)

        def product(x: Any, kernel: Floats) -> Any:
            filters = op.constant(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
            pads = [0, around // 2], [0, around - around // 2]
            return op.convolution(x, filters, [along, across], *pads, [1, 1])

        if len(kernel) == 1:
            return _shifted([product(frame, kernel) for frame in frames], part)
        if len(kernel) == _TAPS and len(frames) == _TILE and along == 1:
            return self._by_tile(frames, part, product)
        return _shifted(apart(product(op.concat(self.reach_back(frames, len(kernel) - along), 2), kernel)), part)

    def stretched(self, frames: Frames, part: Tree) -> Frames:
        """Convolve and stretch: correlation over the input with zeros between, the newest meeting the last tap."""
        kernel = np.asarray(part["conv"]["kernel"], np.float32)
        taps, bins = kernel.shape[:2]
        along, across = _strides(kernel)
        low, high = _padding(bins, across)

        def product(x: Any, kernel: Floats, stretch: int = 1, begin: int = 0, end: int = 0) -> Any:
            filters = op.constant(np.ascontiguousarray(kernel[::-1, ::-1].transpose(2, 3, 0, 1)))
            pads = {"pads_begin": [begin, low], "pads_end": [end, high], "dilations": [1, 1]}
            return op.convolution_backprop_data(x, filters, [stretch, across], **pads)

        if along == 1 and taps == _TAPS and len(frames) == _TILE:
            return self._by_tile(frames, part, product)
        past = -(-taps // along) - 1
        seen = op.concat(self.reach_back(frames, past), 2)
        return _shifted(apart(product(seen, kernel, along, past * along, taps - along)), part)

    def _by_tile(self, frames: Frames, part: Tree, product: Callable[[Any, Floats], Any]) -> Frames:
        kernels = np.einsum("it,tfco->ifco", _KERNEL, np.asarray(part["conv"]["kernel"], np.float64))
        tile = _to_tile(self.reach_back(frames, _TAPS - 1))
        pairs = zip(tile, kernels.astype(np.float32), strict=True)
        return _shifted(_from_tile([product(x, kernel[None]) for x, kernel in pairs]), part)

    def unit(self, frames: Frames, part: Tree) -> Frames:
        """A unit of the decoder: stretched, then convolved, beside a shortcut that repeats its values."""
        (name,) = (name for name in part if name.startswith("conv2dtranspose"))
        made = self.convolved(elu(self.stretched(elu(frames), part[name])), part["conv2d_3x3"])
        if "shortcut_layer" in part:
            frames = self.convolved(frames, part["shortcut_layer"]["conv1x1"])
        size = made[0].output(0).shape[2:]
        if size != frames[0].output(0).shape[2:]:
            how = {"axes": np.array([2, 3]), "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            frames = [op.interpolate(frame, np.array(size), "nearest", "sizes", **how) for frame in frames]
        times = len(made) // len(frames)
        return [op.add(frames[index // times], frame) for index, frame in enumerate(made)]

    def last(self, frames: Frames, part: Tree) -> Any:
        """Convolve to few channels: each tap in time is a channel, and these are added up along the diagonal."""
        kernel = np.asarray(part["conv"]["kernel"], np.float32)
        taps, bins, wide, narrow = kernel.shape
        filters = op.constant(np.ascontiguousarray(kernel.transpose(0, 3, 2, 1).reshape(taps * narrow, wide, 1, bins)))
        around = [0, (bins - 1) // 2], [0, bins // 2]
        products = [op.convolution(frame, filters, [1, 1], *around, [1, 1]) for frame in frames]
        seen = op.concat(self.reach_back(products, taps - 1), 2)
        total = None
        for tap in range(taps):
            begin, end = np.array([narrow * tap, tap]), np.array([narrow * (tap + 1), tap + len(frames)])
            share = op.slice(seen, begin, end, np.array([1, 1]), np.array([1, 2]))
            total = share if total is None else op.add(total, share)
        return _shifted([total], part)[0]

    def model(self, name: str, given_to: Any, made: Any) -> ov.Model:
        """Return the graph, from one input and the pasts to one output and the next pasts."""
        results = [op.result(made, name="made")]
        results += [op.result(node, name=f"next_{index}") for index, node in enumerate(self.nexts)]
        return ov.Model(results, [given_to, *self.pasts], name)


def codec_graphs(decoder: Tree) -> tuple[ov.Model, ov.Model]:
    """Build the graphs of a frame.

    Parameters
    ----------
    decoder
        ``params/soundstream/decoder`` of the official tree.

    Returns
    -------
    entry, rest
        The entry makes of an embedding, float32 (1, size), the sum of the frame's rows of the codebooks, a column,
        float32 (1, 1, bins, channels). The rest has the column and the pasts as inputs, these float32 (sides, 1, bins,
        channels), zeros at a stream's start, and as outputs the next pasts after the spectrum, float32 (SIDES, 2,
        frames, bins), real and imaginary parts. The spectrum of frame t is complete with embedding t + 1: a look-ahead
        of one frame, which is left to the caller.
    """

    def projected(x: Any, part: Tree) -> Any:
        return linear(x, weight(part["conv"]["kernel"][0, 0].T, "f32"), part["conv"]["bias"])

    first = decoder["input_layer"]
    embedding = given("embedding", [1, first["conv1x1_first"]["conv"]["kernel"].shape[2]])
    beside = op.elu(projected(embedding, first["shortcut_layer"]["conv1x1_b1"]), 1.0)
    x = op.add(projected(embedding, first["conv1x1_first"]), projected(beside, first["shortcut_layer"]["conv1x1_b2"]))
    part = decoder["input_layers_residual_unit"]
    channels = part["conv2d_3x3_a"]["conv"]["kernel"].shape[2]
    column = op.reshape(x, np.array([1, 1, -1, channels]), False)
    entry = Builder().model("spectrostream_entry", embedding, column)

    build = Builder()
    entered = given("column", list(column.output(0).shape))
    frames = [op.transpose(entered, np.array(CHANNELS_FIRST))]
    made = build.convolved(elu(frames), part["conv2d_3x3_a"])
    made = build.convolved(elu(made), part["conv2d_3x3"])
    frames = build.unit([op.add(frames[0], made[0])], decoder["decoder_0"])
    # the joint unit's channels are both sides, one after the other
    _one, channels, _one, bins = frames[0].output(0).shape
    frames = [op.reshape(frame, np.array([SIDES, channels // SIDES, 1, bins]), False) for frame in frames]
    for index in range(1, sum(name.startswith("decoder_") for name in decoder)):
        frames = build.unit(frames, decoder[f"decoder_{index}"])
    spectrum = build.last(elu(frames), decoder["output_layer"]["base_conv_last"])
    return entry, build.model("spectrostream_rest", entered, spectrum)
