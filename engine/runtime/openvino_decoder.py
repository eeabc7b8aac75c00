"""The decoder of SpectroStream by OpenVINO, frame by frame: codes in, sound out.

The graphs read a stream's pasts from arrays and write the next ones into new arrays: nothing of a state is copied or
changed. An instance belongs to one thread, and decodes one frame at a time.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from jackdaw.engine.runtime.openvino_codec import SIDES, codec_graphs
from jackdaw.engine.runtime.openvino_graph import Floats, request

__all__ = ["Decoder"]

Codes = NDArray[np.int32]


class _Half:
    """A graph of the codec, with its pasts among its inputs and outputs."""

    def __init__(self, model: ov.Model, threads: int, precision: Literal["f32", "bf16"]) -> None:
        self.shapes = [tuple(port.shape) for port in model.inputs[1:]]
        self.made = tuple(model.outputs[0].shape)
        self._request = request(model, threads, precision)
        self._kept: Any = None

    def start(self, new: Floats, pasts: tuple[Floats, ...]) -> None:
        """Begin, on the graph's own threads."""
        results = [np.empty(shape, np.float32) for shape in (self.made, *self.shapes)]
        tensors = [ov.Tensor(array, shared_memory=True) for array in (new, *pasts)]
        for index, tensor in enumerate(tensors):
            self._request.set_input_tensor(index, tensor)
        for index, array in enumerate(results):
            self._request.set_output_tensor(index, ov.Tensor(array, shared_memory=True))
        self._kept = tensors, results
        self._request.start_async()

    def finish(self) -> tuple[Floats, tuple[Floats, ...]]:
        """Wait; return what was made, and the next pasts."""
        self._request.wait()
        (_tensors, (made, *nexts)), self._kept = self._kept, None
        return made, tuple(nexts)


class Decoder:
    """Decodes codes to sound, a frame at a time: :meth:`enter`, :meth:`start`, :meth:`finish`.

    A state is a dict: ``rest``, the pasts of the second graph; ``column``, float32, the frame that entered
    last; ``entered``, int32, how many have; ``tail``, float32 (bins, 2), the half of the last window that sounds next.

    Parameters
    ----------
    params
        The official tree below ``params/``.
    levels
        RVQ levels that codes have.
    precision
        Of the convolutions: bf16 is quicker where the processor has it, and less exact.
    threads
        Of the entry and of the rest, 1 or more.
    """

    def __init__(
        self,
        params: Mapping[str, Any],
        levels: int,
        *,
        precision: Literal["f32", "bf16"] = "f32",
        threads: tuple[int, int] = (1, 1),
    ) -> None:
        self._books = np.array(params["soundstream"]["quantizer"]["embedding"][:levels], np.float32)
        entry, rest = codec_graphs(params["soundstream"]["decoder"])
        self._entry, self._rest = _Half(entry, threads[0], precision), _Half(rest, threads[1], precision)
        _sides, _parts, self._frames, self._bins = self._rest.made
        size = 2 * self._bins
        hann = np.sin(np.pi * np.arange(size) / size) ** 2
        square = hann**2
        self._window = (hann / (square + np.roll(square, self._bins))).astype(np.float32)
        self._decoding: dict[str, Any] | None = None

    @property
    def samples(self) -> int:
        """Samples of a frame."""
        return int(self._frames * self._bins)

    def init(self) -> dict[str, Any]:
        """Return the state of a stream that has decoded nothing."""
        return {
            "rest": tuple(np.zeros(shape, np.float32) for shape in self._rest.shapes),
            "column": np.zeros(self._entry.made, np.float32),
            "entered": np.int32(0),
            "tail": np.zeros((self._bins, SIDES), np.float32),
        }

    def enter(self, state: dict[str, Any], codes: Codes) -> dict[str, Any]:
        """Take in a frame, int32 (levels,): the first twelfth of the work. It is decoded next."""
        embedding = self._books[np.arange(len(codes)), codes].sum(axis=0, dtype=np.float32, keepdims=True)
        self._entry.start(embedding, ())
        column, _pasts = self._entry.finish()
        entered = np.int32(min(state["entered"] + 1, 2))
        return {**state, "column": column, "entered": entered}

    def start(self, state: dict[str, Any]) -> None:
        """Begin to decode the frame that entered last, on threads of its own; :meth:`finish` waits for it.

        If it has begun already, it goes on; if another has, that is given up.
        """
        if self._decoding is state:
            return
        if self._decoding is not None:
            self._rest.finish()
        self._rest.start(state["column"], state["rest"])
        self._decoding = state

    def wait(self) -> tuple[dict[str, Any], Floats]:
        """Return the state after decoding, but for its tail, and the spectrum, for :meth:`sounded`.

        Raises
        ------
        RuntimeError
            If nothing was begun.
        """
        if self._decoding is None:
            raise RuntimeError("no frame is being decoded: call start first")
        state, self._decoding = self._decoding, None
        spectrum, pasts = self._rest.finish()
        return {**state, "rest": pasts}, spectrum

    def sounded(self, state: dict[str, Any], spectrum: Floats) -> tuple[Floats, Floats]:
        """Return the state's next tail, and float32 (samples, 2): the sound of the frame before.

        A stream's first frame sounds as silence: its end needs the second.
        """
        if state["entered"] < 2:
            return state["tail"], np.zeros((self.samples, SIDES), np.float32)
        halves = np.zeros((SIDES, self._frames, self._bins + 1), np.complex64)
        halves.real[..., :-1], halves.imag[..., :-1] = spectrum[:, 0], spectrum[:, 1]
        windows = np.fft.irfft(halves, axis=-1).astype(np.float32, copy=False) * self._window
        sound = np.concatenate([state["tail"].T, np.zeros((SIDES, self.samples), np.float32)], axis=1)
        for index in range(self._frames):
            sound[:, index * self._bins : (index + 2) * self._bins] += windows[:, index]
        return sound[:, self.samples :].T.copy(), np.ascontiguousarray(sound[:, : self.samples].T)

    def finish(self) -> tuple[dict[str, Any], Floats]:
        """Wait; return the state after decoding, and what :meth:`sounded` makes."""
        state, spectrum = self.wait()
        state["tail"], audio = self.sounded(state, spectrum)
        return state, audio
