"""Magenta RealTime 2 on a processor, by OpenVINO: a player for :class:`~jackdaw.engine.models.mrt2.MRT2`.

With `overlap`, a frame is heard, its codes are chosen and enter the codec, while that decodes the frame before: two
threads or more, and one frame more between the codes and their sound.

A player belongs to one thread. Streams are values: equal arguments give equal results, bit for bit, and no state is
changed.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models.mrt2_config import MRT2Config
from jackdaw.engine.runtime.openvino_codec import SIDES
from jackdaw.engine.runtime.openvino_decoder import Decoder
from jackdaw.engine.runtime.openvino_encoder import Encoder
from jackdaw.engine.runtime.openvino_graph import Floats, Precision
from jackdaw.engine.runtime.openvino_lm import LanguageModel, Past

__all__ = ["OpenVinoPlayer", "threads_for"]

Codes = NDArray[np.int32]


def threads_for(processors: int, *, overlap: bool) -> tuple[int, int]:
    """Return on how many threads the language model and the codec run.

    Overlapped, they share the processors, the codec taking the odd one; one after the other, each has all. More than 4
    aren't of use to a frame of the language model, nor more than 8 to one of the codec.
    """
    if not overlap or processors < 2:
        return min(processors, 4), min(processors, 8)
    return min(processors // 2, 4), min(processors - processors // 2, 8)


class OpenVinoPlayer:
    """All networks of the model; see :class:`~jackdaw.engine.models.mrt2.Player`.

    Parameters
    ----------
    params
        The official tree below ``params/``: ``depthformer`` and ``soundstream`` of a checkpoint, and ``encoder`` of the
        codec's own file, without which the player can't hear.
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
        params: Mapping[str, Any],
        config: MRT2Config,
        *,
        weights: Precision = "int8",
        codec: Literal["f32", "bf16"] = "f32",
        overlap: bool = True,
        processors: int | None = None,
    ) -> None:
        threads = threads_for(processors or len(os.sched_getaffinity(0)), overlap=overlap)
        self._overlap = overlap
        with ThreadPoolExecutor(1) as pool:
            decoder = pool.submit(Decoder, params, config.levels, precision=codec, threads=threads)
            hears = "encoder" in params
            encoder = pool.submit(Encoder, params, config.levels, threads=threads[0]) if hears else None
            self.language = LanguageModel(params, config, weights=weights, threads=threads[0])
            self.codec = decoder.result()
            self._ears = None if encoder is None else encoder.result()
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
        busy = self._overlap and decoder["entered"] > 0
        if busy:
            self.codec.start(decoder)
        try:
            past, chosen = self.language.choose(past, codes, row, noise, temperature, top_k)
            following = self.codec.enter(decoder, chosen)
        finally:
            if busy:
                decoded, spectrum = self.codec.wait()
        if busy:
            following["rest"] = decoded["rest"]
        self.codec.start(following)  # with overlap it goes on until the next call, which most likely wants it
        if not self._overlap:
            following, audio = self.codec.finish()
        elif busy:
            following["tail"], audio = self.codec.sounded(decoded, spectrum)
        else:
            audio = self._silence
        return past, following, chosen, audio

    def decoder(self) -> dict[str, Any]:
        """Return the past of a decoder that has decoded nothing."""
        return self.codec.init()

    def decode(self, decoder: dict[str, Any], codes: Codes) -> tuple[dict[str, Any], Floats]:
        """Decode a frame, apart from playing; its sound is `delay` frames behind, too."""
        audio = self._silence
        if not self._overlap:
            decoder = self.codec.enter(decoder, codes)
        if decoder["entered"]:
            self.codec.start(decoder)
            decoder, audio = self.codec.finish()
        return self.codec.enter(decoder, codes) if self._overlap else decoder, audio

    def encoder(self) -> Any:
        """Return the past of an encoder that has heard nothing; None if the player can't hear."""
        return None if self._ears is None else self._ears.encoder()

    def encode(self, encoder: Any, audio: Floats) -> tuple[Any, Codes]:
        """Return the codes of what is heard.

        Raises
        ------
        ValueError
            If the player can't hear.
        """
        if self._ears is None:
            raise ValueError("this player was made without the codec's encoder: give it the tree of `encoder` to hear")
        return self._ears.encode(encoder, audio)
