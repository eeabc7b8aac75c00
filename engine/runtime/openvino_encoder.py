"""The encoder of SpectroStream as an OpenVINO graph, and what runs it: sound in, codes out, a frame a step.

As the decoder's, its convolutions reach back in time only, so that a stream's state is what each of them saw last, and
those of three taps go through the four windows of a step by Winograd's algorithm. It looks AHEAD samples beyond a
frame, by its windows alone: codes are those of the frame that ends AHEAD before the end of what was given.

Strides, widths and paddings are those of `magenta-rt` 2.0.3; weights are its parameter tree by name. A state is a dict
of arrays, which nobody changes. An instance belongs to one thread.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as op

from jackdaw.engine.runtime.openvino_codec import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    SIDES,
    Builder,
    Frames,
    apart,
    elu,
)
from jackdaw.engine.runtime.openvino_graph import Floats, given, linear, request, weight

__all__ = ["AHEAD", "Encoder", "encoder_graph"]

Tree = Mapping[str, Any]

AHEAD = 480
"""Samples beyond a frame that are looked at; also the bins of a window, and from one window to the next."""

_WINDOWS = 4


def _shortened(build: Builder, frames: Frames, part: Tree) -> Frames:
    """A unit of the encoder: convolved, then shortened in time and frequency, beside the average."""
    (name,) = (name for name in part if name.endswith("_a"))
    along, across = (size // 2 if size > 3 else 1 for size in part[name]["conv"]["kernel"].shape[:2])
    made = build.convolved(elu(frames), part["conv2d_3x3"])
    made = build.convolved(elu(made), part[name], along, across)
    if across > 1:
        size = [1, across]
        frames = [op.avg_pool(frame, size, [0, 0], [0, 0], size, True) for frame in frames]
    if along > 1:
        pairs = zip(frames[::along], frames[1::along], strict=True)
        frames = [op.multiply(op.add(a, b), np.float32(0.5)) for a, b in pairs]
    if "shortcut_layer" in part:
        frames = build.convolved(frames, part["shortcut_layer"]["conv1x1"])
    return [op.add(a, b) for a, b in zip(frames, made, strict=True)]


def encoder_graph(encoder: Tree) -> ov.Model:
    """Build the graph of a frame.

    Parameters
    ----------
    encoder
        ``params/encoder`` of the codec's official file.

    Returns
    -------
    model
        Inputs: ``spectra`` float32 (SIDES, windows, bins, real and imaginary); then the pasts, float32 (sides, 1, bins,
        channels), zeros at a stream's start. Outputs: ``made``, the embedding, float32 (1, size); then the next pasts.
    """
    build = Builder()

    def projected(x: Any, part: Tree) -> Any:
        return linear(x, weight(part["conv"]["kernel"][0, 0].T, "f32"), part["conv"]["bias"])

    spectra = given("spectra", [SIDES, _WINDOWS, AHEAD, 2])
    frames = build.convolved(apart(op.transpose(spectra, np.array(CHANNELS_FIRST))), encoder["base_conv_first"])
    units = sum(name.startswith("encoder_") for name in encoder)
    for index in range(units):
        if index == units - 1:  # the last unit sees both sides, one after the other
            _sides, channels, _one, bins = frames[0].output(0).shape
            frames = [op.reshape(frame, np.array([1, SIDES * channels, 1, bins]), False) for frame in frames]
        frames = _shortened(build, frames, encoder[f"encoder_{index}"])
    part = encoder["bottleneck"]
    made = build.convolved(elu(build.convolved(elu(frames), part["conv2d_3x3"])), part["conv2d_3x3_a"])
    flat = op.reshape(op.transpose(op.add(frames[0], made[0]), np.array(CHANNELS_LAST)), np.array([1, -1]), False)
    last = encoder["output_convs"]
    side = op.elu(projected(op.elu(flat, 1.0), last["shortcut_layer"]["conv1x1_b1"]), 1.0)
    embedding = op.add(projected(flat, last["conv1x1_last"]), projected(side, last["shortcut_layer"]["conv1x1_b2"]))
    return build.model("spectrostream_encoder", spectra, embedding)


class Encoder:
    """Turns what is heard into codes, a frame a call.

    Parameters
    ----------
    params
        The official tree below ``params/``: ``encoder`` of the codec's own file, and ``soundstream`` of a checkpoint.
    levels
        RVQ levels that codes have.
    threads
        1 or more.
    """

    def __init__(self, params: Tree, levels: int, *, threads: int = 1) -> None:
        self._books = np.array(params["soundstream"]["quantizer"]["embedding"][:levels], np.float32)
        self._squares = np.square(self._books).sum(axis=-1)
        model = encoder_graph(params["encoder"])
        self._shapes = [tuple(port.shape) for port in model.inputs[1:]]
        self._request = request(model, threads)
        size = 2 * AHEAD
        self._window = (np.sin(np.pi * np.arange(size) / size) ** 2).astype(np.float32)[:, None]

    def encoder(self) -> dict[str, Any]:
        """Return the past of an encoder that has heard nothing."""
        pasts = tuple(np.zeros(shape, np.float32) for shape in self._shapes)
        return {"pasts": pasts, "samples": np.zeros((AHEAD, SIDES), np.float32)}

    def encode(self, encoder: dict[str, Any], audio: Floats) -> tuple[dict[str, Any], NDArray[np.int32]]:
        """Return the next past, and the codes of the frame that ends AHEAD samples before the end of `audio`.

        Parameters
        ----------
        encoder
            From :meth:`encoder` or an earlier call.
        audio
            Float32 (1920, 2).

        Returns
        -------
        encoder, codes
            The next past, and int32 (levels,).

        Raises
        ------
        ValueError
            If the audio isn't a frame.
        """
        if audio.shape != (_WINDOWS * AHEAD, SIDES):
            raise ValueError(f"audio has shape {audio.shape}: give a frame, {(_WINDOWS * AHEAD, SIDES)}")
        samples = np.concatenate([encoder["samples"], audio]).astype(np.float32)
        halves = samples.reshape(-1, AHEAD, SIDES)
        found = np.fft.rfft(np.concatenate([halves[:-1], halves[1:]], axis=1) * self._window, axis=1)[:, :AHEAD]
        spectra = np.ascontiguousarray(np.stack([found.real, found.imag], axis=-1).transpose(2, 0, 1, 3), np.float32)
        nexts = tuple(np.empty(shape, np.float32) for shape in self._shapes)
        for index, array in enumerate((spectra, *encoder["pasts"])):
            self._request.set_input_tensor(index, ov.Tensor(array, shared_memory=True))
        for index, array in enumerate(nexts, 1):
            self._request.set_output_tensor(index, ov.Tensor(array, shared_memory=True))
        self._request.infer()
        rest = np.array(self._request.get_output_tensor(0).data[0])
        codes = np.zeros(len(self._books), np.int32)
        for level, (book, square) in enumerate(zip(self._books, self._squares, strict=True)):
            codes[level] = np.argmin(square - 2 * (book @ rest))
            rest -= book[codes[level]]
        return {"pasts": nexts, "samples": samples[-AHEAD:]}, codes
