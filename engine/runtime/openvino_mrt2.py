"""Magenta RealTime 2 on a processor, by OpenVINO: a player for :class:`~jackdaw.engine.models.mrt2.MRT2`.

With `overlap`, a frame's codes are chosen while the codec decodes the frame before: two graphs on two threads or more,
and one frame more between the codes and their sound.

A player belongs to one thread. Streams are values: equal arguments give equal results, bit for bit, and no state is
changed.
"""

import os
from collections.abc import Mapping
from typing import Any, Literal, Protocol

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from jackdaw.engine.models.mrt2_config import MRT2Config
from jackdaw.engine.models.mrt2_depthformer import NOTHING
from jackdaw.engine.runtime.openvino_codec import SIDES, codec_graph
from jackdaw.engine.runtime.openvino_graph import Floats, Precision, request
from jackdaw.engine.runtime.openvino_lm import LanguageModel, Past

__all__ = ["Decoder", "Ears", "OpenVinoPlayer", "threads_for"]

Codes = NDArray[np.int32]


def threads_for(processors: int, *, overlap: bool) -> tuple[int, int]:
    """Return on how many threads the language model and the codec run.

    Overlapped, they share the processors, the codec taking the odd one; one after the other, each has all. More than 4
    aren't of use to a frame of the language model, nor more than 8 to one of the codec.
    """
    if not overlap or processors < 2:
        return min(processors, 4), min(processors, 8)
    return min(processors // 2, 4), min(processors - processors // 2, 8)


class Decoder:
    """Decodes codes to sound, a frame a call.

    A state is a dict: ``begun``, bool; ``pasts``, those of the graph; ``tail``, float32 (bins, 2), the half of the last
    window that sounds next.

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
        self, params: Mapping[str, Any], levels: int, *, precision: Literal["f32", "bf16"] = "f32", threads: int = 1
    ) -> None:
        self._books = np.array(params["soundstream"]["quantizer"]["embedding"][:levels], np.float32)
        model = codec_graph(params["soundstream"]["decoder"])
        _sides, _parts, self._frames, self._bins = model.output("spectrum").shape
        self._shapes = [tuple(port.shape) for port in model.inputs[1:]]
        self._request = request(model, threads, precision)
        size = 2 * self._bins
        hann = np.sin(np.pi * np.arange(size) / size) ** 2
        square = hann**2
        self._window = (hann / (square + np.roll(square, self._bins))).astype(np.float32)
        self._pending: tuple[dict[str, Any], tuple[Floats, ...], list[ov.Tensor]] | None = None

    @property
    def samples(self) -> int:
        """Samples of a frame."""
        return int(self._frames * self._bins)

    def init(self) -> dict[str, Any]:
        """Return the state of a stream that has decoded nothing."""
        pasts = tuple(np.zeros(shape, np.float32) for shape in self._shapes)
        return {"begun": np.bool_(False), "pasts": pasts, "tail": np.zeros((self._bins, SIDES), np.float32)}

    def start(self, state: dict[str, Any], codes: Codes) -> None:
        """Begin to decode a frame, int32 (levels,), on the codec's threads; :meth:`finish` waits for it."""
        embedding = self._books[np.arange(len(codes)), codes].sum(axis=0, dtype=np.float32, keepdims=True)
        nexts = tuple(np.empty(shape, np.float32) for shape in self._shapes)
        tensors = [ov.Tensor(array, shared_memory=True) for array in (embedding, *state["pasts"])]
        for index, tensor in enumerate(tensors):
            self._request.set_input_tensor(index, tensor)
        for index, array in enumerate(nexts, 1):
            self._request.set_output_tensor(index, ov.Tensor(array, shared_memory=True))
        self._pending = state, nexts, tensors
        self._request.start_async()

    def finish(self) -> tuple[dict[str, Any], Floats]:
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
        following = {**state, "begun": np.bool_(True), "pasts": nexts}
        if not state["begun"]:
            return following, np.zeros((self.samples, SIDES), np.float32)
        spectrum = self._request.get_output_tensor(0).data
        halves = np.zeros((SIDES, self._frames, self._bins + 1), np.complex64)
        halves.real[..., :-1], halves.imag[..., :-1] = spectrum[:, 0], spectrum[:, 1]
        windows = np.fft.irfft(halves, axis=-1).astype(np.float32, copy=False) * self._window
        sound = np.concatenate([state["tail"].T, np.zeros((SIDES, self.samples), np.float32)], axis=1)
        for index in range(self._frames):
            sound[:, index * self._bins : (index + 2) * self._bins] += windows[:, index]
        following["tail"] = sound[:, self.samples :].T.copy()
        return following, np.ascontiguousarray(sound[:, : self.samples].T)


class Ears(Protocol):
    """The codec's encoder, from whoever has one: a state, and codes of what is heard."""

    def encoder(self) -> Any:
        """Return the past of an encoder that has heard nothing."""

    def encode(self, encoder: Any, audio: Floats) -> tuple[Any, Codes]:
        """Return the next state and the codes of a frame."""


class OpenVinoPlayer:
    """All networks of the model; see :class:`~jackdaw.engine.models.mrt2.Player`.

    The decoder's past is that of :class:`Decoder` and ``waiting``, int32 (levels,): with `overlap` the codes that are
    decoded next, else NOTHING.

    Parameters
    ----------
    params
        The official tree below ``params/``.
    config
        Its sizes.
    ears
        The codec's encoder; None can't hear.
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
        params: Mapping[str, Any],
        config: MRT2Config,
        ears: Ears | None = None,
        *,
        weights: Precision = "int8",
        codec: Literal["f32", "bf16"] = "f32",
        overlap: bool = True,
        processors: int | None = None,
    ) -> None:
        threads = threads_for(processors or len(os.sched_getaffinity(0)), overlap=overlap)
        self._ears, self._overlap = ears, overlap
        self.language = LanguageModel(params, config, weights=weights, threads=threads[0])
        self.codec = Decoder(params, config.levels, precision=codec, threads=threads[1])
        self._silence = np.zeros((self.codec.samples, SIDES), np.float32)

    @property
    def config(self) -> MRT2Config:
        """Sizes."""
        return self.language.config

    @property
    def delay(self) -> int:
        """Frames between a frame's codes and its sound."""
        return 2 if self._overlap else 1

    def past(self) -> Past:
        """Return the past of a language model that has taken in nothing."""
        return self.language.past()

    def rewound(self, past: Past, frames: int) -> Past:
        """Return the past before the last frames, of which there are as many, up to SPARE."""
        return self.language.rewound(past, frames)

    def take_in(self, past: Past, codes: Codes, row: Codes) -> Past:
        """Return the past after a frame: `codes` of the one before it, and what it was told."""
        return self.language.take_in(past, codes, row)

    def play(
        self,
        past: Past,
        decoder: dict[str, Any],
        codes: Codes,
        row: Codes,
        noise: Floats,
        temperature: float,
        top_k: int,
    ) -> tuple[Past, dict[str, Any], Codes, Floats]:
        """Take in a frame as :meth:`take_in` does, choose its codes, and decode.

        Returns
        -------
        past, decoder, codes, audio
            The next states, the codes chosen, and float32 (samples, 2), `delay` frames behind them.
        """
        waiting = decoder["waiting"]
        busy = self._overlap and waiting[0] != NOTHING
        if busy:
            self.codec.start(decoder, waiting)
        try:
            past, chosen = self.language.choose(past, codes, row, noise, temperature, top_k)
        finally:
            if busy:
                decoder, audio = self.codec.finish()
        if not self._overlap:
            decoder, audio = self.decode(decoder, chosen)
        elif not busy:
            audio = self._silence
        return past, {**decoder, "waiting": chosen if self._overlap else waiting}, chosen, audio

    def decoder(self) -> dict[str, Any]:
        """Return the past of a decoder that has decoded nothing."""
        return {**self.codec.init(), "waiting": np.full(self.config.levels, NOTHING, np.int32)}

    def decode(self, decoder: dict[str, Any], codes: Codes) -> tuple[dict[str, Any], Floats]:
        """Decode a frame, apart from playing; its sound is `delay` frames behind, too."""
        now = decoder["waiting"] if self._overlap else codes
        following = {**decoder, "waiting": codes if self._overlap else decoder["waiting"]}
        if now[0] == NOTHING:
            return following, self._silence
        self.codec.start(following, now)
        return self.codec.finish()

    def encoder(self) -> Any:
        """Return the past of an encoder that has heard nothing; None if the player has no ears."""
        return None if self._ears is None else self._ears.encoder()

    def encode(self, encoder: Any, audio: Floats) -> tuple[Any, Codes]:
        """Return the codes of what is heard.

        Raises
        ------
        ValueError
            If the player has no ears.
        """
        if self._ears is None:
            raise ValueError("this player was made without the codec's encoder: give it `ears` to hear")
        return self._ears.encode(encoder, audio)
