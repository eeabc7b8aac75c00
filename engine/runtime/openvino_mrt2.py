"""Magenta RealTime 2 on a processor, by OpenVINO: the language model and the codec, each on threads of its own.

Streams are values. The language model's past is a chain of rows, one a frame; a player keeps the rings that its graph
reads and remembers which row lies in which slot, so that going on with the stream that it played last costs one row,
and another stream, or an earlier state of the same, costs those that differ. The codec's pasts are inputs and outputs
of its graph, which neither copies nor changes them.

With `overlap`, a step chooses the codes of a frame while the codec decodes the frame before: two graphs, each on half
of the processors, and one frame more between the codes and their sound.

A player belongs to one thread. Invariants: equal arguments give equal results, bit for bit; a step reads and never
writes the state that it is given.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from jackdaw.engine.models.mrt2_config import RESERVED, MRT2Config
from jackdaw.engine.runtime.openvino_codec import SIDES, codec_graph
from jackdaw.engine.runtime.openvino_graph import Floats, Precision
from jackdaw.engine.runtime.openvino_lm import lm_graph, sinks

__all__ = [
    "CodecState",
    "CodecStream",
    "LMState",
    "LanguageModel",
    "Player",
    "State",
    "exported",
    "imported",
    "threads_for",
]

Tree = Mapping[str, Any]
Codes = NDArray[np.int32]

_EMPTY = np.float32(-1e9)


def threads_for(processors: int, *, overlap: bool) -> tuple[int, int]:
    """Return on how many threads the language model and the codec run.

    Overlapped, they share the processors, the codec taking the odd one; one after the other, each has all. More than 4
    aren't of use to a frame of the language model, nor more than 8 to one of the codec.
    """
    if not overlap or processors < 2:
        return min(processors, 4), min(processors, 8)
    return min(processors // 2, 4), min(processors - processors // 2, 8)


def _request(model: ov.Model, threads: int, precision: str) -> ov.InferRequest:
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # the audio server's threads choose their processors first
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": 128,  # int4 only: activations as int8, too
    }
    return ov.Core().compile_model(model, "CPU", settings).create_infer_request()


@dataclass(frozen=True)
class LMState:
    """The past of the temporal stack: how many frames it has seen, the last one's codes, and the window's rows."""

    frame: int
    codes: Codes
    rows: tuple[Floats, ...]


class LanguageModel:
    """Chooses codes, a frame a call.

    Parameters
    ----------
    params
        The official tree below ``params/``.
    config
        Its sizes.
    weights
        How matrices are kept.
    threads
        1 or more.
    """

    def __init__(self, params: Tree, config: MRT2Config, *, weights: Precision = "int8", threads: int = 1) -> None:
        self.config = config
        self._request = _request(lm_graph(params, config, weights), threads, "f32")
        sink = sinks(params, config)
        layers, parts, heads, size = sink.shape
        self._rings = np.zeros((layers, parts, heads, config.window + 1, size), np.float32)
        self._rings[:, :, :, 0] = sink
        self._held: list[Floats | None] = [None] * config.window
        self._given: dict[str, NDArray[Any]] = {}
        for tensor in self._request.model_inputs:
            name = tensor.get_any_name()
            kind, index = name.split("_") if name.startswith("ring_") else (name, "0")
            if kind == "ring":
                array = self._rings[divmod(int(index), parts)]
            else:
                array = self._given.setdefault(name, np.zeros(tuple(tensor.shape), tensor.element_type.to_dtype()))
            self._request.set_tensor(name, ov.Tensor(array, shared_memory=True))
        self._made = {name: self._request.get_tensor(name) for name in ("codes", "rows", "logits")}
        self._first = (RESERVED + np.arange(config.levels) * config.codebook).astype(np.int32)

    def init(self) -> LMState:
        """Return the state of a stream that has played nothing."""
        return LMState(0, np.full(self.config.levels, -1, np.int32), ())

    def step(
        self,
        state: LMState,
        row: Codes,
        noise: Floats,
        temperature: float,
        top_k: int,
        *,
        forced: Codes | None = None,
    ) -> LMState:
        """Take in a frame and choose the next one's codes.

        Parameters
        ----------
        state
            From :meth:`init`, an earlier step, or :func:`imported`. Its `codes` are the frame before: others may be put
            there, which is how a stream hears.
        row
            Int32 (style_levels + CHANNELS,), of :func:`~jackdaw.engine.models.mrt2_conditioning.channels`.
        noise
            Float32 (levels, codebook), Gumbel's.
        temperature
            0 (greedy) or more.
        top_k
            1 .. codebook.
        forced
            Int32 (levels,): codes to take instead of choosing; -1 chooses.

        Returns
        -------
        LMState
            The next state; its `codes` are those chosen. :meth:`logits` tells what they were chosen from.

        Raises
        ------
        ValueError
            If top_k is out of range, or noise or row are of a wrong shape.
        """
        config, given = self.config, self._given
        if not 1 <= top_k <= config.codebook:
            raise ValueError(f"top_k {top_k} is out of range: choose 1 to {config.codebook}")
        for name, array in (("condition", row), ("noise", noise)):
            if array.shape != given[name].shape:
                raise ValueError(f"{name} has shape {array.shape}: give {given[name].shape}")
        self._place(state)
        given["ids"][:] = np.where(state.codes < 0, 0, self._first + state.codes)
        given["condition"][:] = row
        given["noise"][:] = noise
        given["temperature"][:] = temperature
        given["last"][:] = top_k - 1
        given["forced"][:] = -1 if forced is None else forced
        self._request.infer()
        new = np.array(self._made["rows"].data)
        new.flags.writeable = False
        return LMState(state.frame + 1, np.array(self._made["codes"].data), (*state.rows, new)[-config.window :])

    def logits(self) -> Floats:
        """Return what the last step chose from: float32 (levels, codebook)."""
        return np.array(self._made["logits"].data)

    def _place(self, state: LMState) -> None:
        """Bring a state's rows into the rings, and mask the slots that it has none for."""
        window, mask = self.config.window, self._given["mask"].reshape(-1)
        first = state.frame - len(state.rows)
        for frame, row in enumerate(state.rows, first):
            slot = frame % window
            if self._held[slot] is not row:
                self._rings[:, :, :, slot + 1] = row
                self._held[slot] = row
        if len(state.rows) < window:
            mask[1:] = _EMPTY
            mask[1:][np.arange(first, state.frame) % window] = 0
        else:
            mask[1:] = 0


@dataclass(frozen=True)
class CodecState:
    """The pasts of the codec's convolutions, the half of its last window that sounds next, and whether it has begun."""

    begun: bool
    pasts: tuple[Floats, ...]
    tail: Floats


class CodecStream:
    """Decodes codes to sound, a frame a call.

    Parameters
    ----------
    params
        The official tree below ``params/``.
    levels
        RVQ levels that codes have.
    precision
        Of the convolutions: bf16 is quicker where the processor has it, and less exact.
    threads
        1 or more.
    """

    def __init__(
        self, params: Tree, levels: int, *, precision: Literal["f32", "bf16"] = "f32", threads: int = 1
    ) -> None:
        self._books = np.asarray(params["soundstream"]["quantizer"]["embedding"][:levels], np.float32)
        model = codec_graph(params["soundstream"]["decoder"])
        _sides, _parts, self._frames, self._bins = model.output("spectrum").shape
        self._shapes = [tuple(port.shape) for port in model.inputs[1:]]
        self._request = _request(model, threads, precision)
        size = 2 * self._bins
        hann = np.sin(np.pi * np.arange(size) / size) ** 2
        square = hann**2
        self._window = (hann / (square + np.roll(square, self._bins))).astype(np.float32)
        self._pending: tuple[CodecState, tuple[Floats, ...], list[ov.Tensor]] | None = None

    @property
    def samples(self) -> int:
        """Samples of a frame."""
        return int(self._frames * self._bins)

    def init(self) -> CodecState:
        """Return the state of a stream that has decoded nothing."""
        pasts = tuple(np.zeros(shape, np.float32) for shape in self._shapes)
        return CodecState(False, pasts, np.zeros((self._bins, SIDES), np.float32))

    def start(self, state: CodecState, codes: Codes) -> None:
        """Begin to decode a frame, int32 (levels,), on the codec's threads; :meth:`finish` waits for it."""
        embedding = self._books[np.arange(len(codes)), codes].sum(axis=0, dtype=np.float32, keepdims=True)
        nexts = tuple(np.empty(shape, np.float32) for shape in self._shapes)
        tensors = [ov.Tensor(array, shared_memory=True) for array in (embedding, *state.pasts)]
        for index, tensor in enumerate(tensors):
            self._request.set_input_tensor(index, tensor)
        for index, array in enumerate(nexts, 1):
            self._request.set_output_tensor(index, ov.Tensor(array, shared_memory=True))
        self._pending = state, nexts, tensors
        self._request.start_async()

    def finish(self) -> tuple[CodecState, Floats]:
        """Return the next state and float32 (samples, 2): the sound of the frame before the one that was begun.

        A stream's first frame sounds as silence: its end needs the second.

        Raises
        ------
        RuntimeError
            If nothing was begun.
        """
        if self._pending is None:
            raise RuntimeError("no frame is being decoded: call start first")
        (state, nexts, _tensors), self._pending = self._pending, None
        self._request.wait()
        if not state.begun:
            return replace(state, begun=True, pasts=nexts), np.zeros((self.samples, SIDES), np.float32)
        spectrum = self._request.get_output_tensor(0).data
        halves = np.zeros((SIDES, self._frames, self._bins + 1), np.complex64)
        halves.real[..., :-1], halves.imag[..., :-1] = spectrum[:, 0], spectrum[:, 1]
        windows = np.fft.irfft(halves, axis=-1).astype(np.float32, copy=False) * self._window
        sound = np.concatenate([state.tail.T, np.zeros((SIDES, self.samples), np.float32)], axis=1)
        for index in range(self._frames):
            sound[:, index * self._bins : (index + 2) * self._bins] += windows[:, index]
        return CodecState(True, nexts, sound[:, self.samples :].T.copy()), np.ascontiguousarray(
            sound[:, : self.samples].T
        )


@dataclass(frozen=True)
class State:
    """A stream: both pasts, and with `overlap` the codes that are decoded next."""

    lm: LMState
    codec: CodecState
    waiting: Codes | None


class Player:
    """The whole model: codes and sound, a frame a step.

    Parameters
    ----------
    params
        The official tree below ``params/``.
    config
        Its sizes.
    weights
        How the language model's matrices are kept.
    codec
        Precision of the codec.
    overlap
        Whether the codec decodes one frame while the language model chooses the next.
    processors
        How many to use; None is all that the process may run on.
    """

    def __init__(
        self,
        params: Tree,
        config: MRT2Config,
        *,
        weights: Precision = "int8",
        codec: Literal["f32", "bf16"] = "f32",
        overlap: bool = True,
        processors: int | None = None,
    ) -> None:
        count = processors or len(os.sched_getaffinity(0))
        threads = threads_for(count, overlap=overlap)
        self.overlap = overlap
        self.lm = LanguageModel(params, config, weights=weights, threads=threads[0])
        self.codec = CodecStream(params, config.levels, precision=codec, threads=threads[1])

    @property
    def look_ahead(self) -> int:
        """Samples between the codes that a step chooses and their sound."""
        return self.codec.samples * (2 if self.overlap else 1)

    def init(self) -> State:
        """Return a stream that has played nothing."""
        return State(self.lm.init(), self.codec.init(), None)

    def step(self, state: State, row: Codes, noise: Floats, temperature: float, top_k: int) -> tuple[State, Floats]:
        """Play a frame; arguments as for :meth:`LanguageModel.step`.

        Returns
        -------
        state, audio
            The next state, whose ``lm.codes`` are those chosen, and float32 (samples, 2), `look_ahead` behind them.
        """
        if not self.overlap:
            chosen = self.lm.step(state.lm, row, noise, temperature, top_k)
            self.codec.start(state.codec, chosen.codes)
            decoded, audio = self.codec.finish()
            return State(chosen, decoded, None), audio
        if state.waiting is not None:
            self.codec.start(state.codec, state.waiting)
        try:
            chosen = self.lm.step(state.lm, row, noise, temperature, top_k)
        finally:
            if state.waiting is not None:
                decoded, audio = self.codec.finish()
        if state.waiting is None:
            decoded, audio = state.codec, np.zeros((self.codec.samples, SIDES), np.float32)
        return State(chosen, decoded, chosen.codes), audio


def exported(state: State) -> dict[str, NDArray[Any]]:
    """Return a stream as arrays by name, to be saved; :func:`imported` gives it back."""
    lm, codec = state.lm, state.codec
    arrays: dict[str, NDArray[Any]] = {
        "frame": np.array(lm.frame, np.int64),
        "codes": lm.codes,
        "begun": np.array(codec.begun),
        "tail": codec.tail,
        "waiting": np.zeros(0, np.int32) if state.waiting is None else state.waiting,
    }
    if lm.rows:
        arrays["rows"] = np.stack(lm.rows)
    return {**arrays, **{f"past_{index}": past for index, past in enumerate(codec.pasts)}}


def imported(arrays: Mapping[str, NDArray[Any]]) -> State:
    """Return the stream that :func:`exported` gave the arrays of."""
    pasts = tuple(arrays[f"past_{index}"] for index in range(sum(name.startswith("past_") for name in arrays)))
    lm = LMState(int(arrays["frame"]), arrays["codes"], tuple(arrays.get("rows", ())))
    codec = CodecState(bool(arrays["begun"]), pasts, arrays["tail"])
    return State(lm, codec, arrays["waiting"] if arrays["waiting"].size else None)
