"""Models for programs: load one, generate chunk by chunk, embed and blend styles, encode and decode audio.

>>> from jackdaw import audio, system
>>> tiny = system.load("tiny")
>>> style = tiny.embed_style("bossa nova")
>>> state, chunk = tiny.generate_chunk(style=style)
>>> chunk.write("bossa.wav")

States are values: keep one and go on from it twice, and you get the same chunk twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jackdaw.audio import Waveform
from jackdaw.engine.models.contract import Controls, Model, Style
from jackdaw.engine.prompts import blend
from jackdaw.engine.weights.registry import MODELS, load_model

__all__ = ["ChunkState", "Config", "System", "load", "names"]

_CHUNK_S = 2.0
Weighted = tuple[float, "str | Waveform"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """Numbers of a system.

    Parameters
    ----------
    chunk_length
        Seconds of one chunk.
    crossfade_length
        Seconds by which chunks are to overlap when they are joined; 0: they fit end to end.
    frame_rate
        Token frames per second.
    levels, codebook
        RVQ levels of a token frame, and codes per level.
    style_size
        Length of a style embedding.
    """

    chunk_length: float
    crossfade_length: float
    frame_rate: float
    levels: int
    codebook: int
    style_size: int


@dataclass(frozen=True, eq=False)
class ChunkState:
    """Where a piece of music has got to; a value, opaque to callers.

    Parameters
    ----------
    model
        The model's own state.
    ready
        Samples that are made already and belong to the next chunk, shape (samples, channels).
    chunks
        How many were made so far.
    """

    model: Any
    ready: NDArray[np.float32]
    chunks: int


class System:
    """A model and what goes with it; made by :func:`load`.

    Parameters
    ----------
    model
        Any model that keeps the contract.
    """

    def __init__(self, model: Model) -> None:
        spec = model.spec
        self.model = model
        self.config = Config(
            chunk_length=_CHUNK_S,
            crossfade_length=0.0,
            frame_rate=spec.sample_rate / spec.frame_samples,
            levels=spec.levels,
            codebook=spec.codebook,
            style_size=spec.style_size,
        )

    @property
    def sample_rate(self) -> int:
        """Hz of all audio in and out."""
        return self.model.spec.sample_rate

    def embed_style(self, prompt: "str | Waveform | Sequence[Weighted]") -> Style:
        """Return the style of a text, of audio, or of a blend.

        Parameters
        ----------
        prompt
            Words; audio of at least 0.1 s, at any rate; or a list of (weight, words or audio), whose weighted mean is
            taken. Only the proportions of weights matter.

        Returns
        -------
        ndarray
            Float32, shape (style_size,), unit length.

        Raises
        ------
        ValueError
            If a text is empty, audio is silent or too short, or no weight is above zero.
        """
        if isinstance(prompt, str):
            return self.model.embed(prompt)
        if isinstance(prompt, Waveform):
            return self.model.embed(self._fitted(prompt))
        weights = [float(weight) for weight, _ in prompt]
        return blend([self.embed_style(part) for _, part in prompt], weights)

    def generate_chunk(
        self,
        *,
        state: ChunkState | None = None,
        style: Style | None = None,
        seed: int = 0,
        heard: Waveform | None = None,
        temperature: float = 1.0,
        top_k: int = 50,
        guidance: float = 0.0,
    ) -> tuple[ChunkState, Waveform]:
        """Make the next two seconds of music.

        Parameters
        ----------
        state
            From the chunk before; None starts anew.
        style
            From :meth:`embed_style`; None leaves the model free.
        seed
            Of a new start; equal seeds give equal music. Not used with a state.
        heard
            What the model hears while it plays this chunk, step by step; None = nothing.
        temperature, top_k, guidance
            As in :class:`~jackdaw.engine.models.contract.Controls`.

        Returns
        -------
        state, chunk
            The next state, and a waveform of `config.chunk_length`.
        """
        spec = self.model.spec
        wanted = round(self.config.chunk_length * spec.sample_rate)
        controls = Controls(style=style, temperature=temperature, top_k=top_k, guidance=guidance)
        inner = self.model.init(seed) if state is None else state.model
        made = [np.zeros((0, spec.channels), np.float32) if state is None else state.ready]
        skip = spec.look_ahead if state is None else 0
        sound = None if heard is None else self._fitted(heard)
        count, at = len(made[0]), -spec.step_samples * -(-skip // spec.step_samples)
        while count < wanted:
            now = None
            if sound is not None:
                now = np.zeros((spec.step_samples, spec.channels), np.float32)
                piece = sound[max(at, 0) : max(at + spec.step_samples, 0)]
                now[: len(piece)] = piece
                at += spec.step_samples
            inner, audio = self.model.step(inner, controls, now)
            made.append(audio[skip:])
            count += len(made[-1])
            skip = max(0, skip - len(audio))
        samples = np.concatenate(made)
        chunks = 1 if state is None else state.chunks + 1
        return ChunkState(inner, samples[wanted:], chunks), Waveform(samples[:wanted], spec.sample_rate)

    def encode(self, waveform: Waveform) -> NDArray[np.int32]:
        """Tokenise audio.

        Parameters
        ----------
        waveform
            At any rate; the end is filled up with silence to a whole number of frames.

        Returns
        -------
        ndarray
            Int32, shape (frames, levels).

        Raises
        ------
        ValueError
            If the model has no tokens.
        """
        if not self.config.levels:
            raise ValueError(f"model {self.model.spec.name} has no codec")
        samples = self._fitted(waveform)
        missing = -len(samples) % self.model.spec.frame_samples
        _, tokens = self.model.encode(None, np.pad(samples, ((0, missing), (0, 0))))
        return tokens

    def decode(self, tokens: NDArray[np.int32]) -> Waveform:
        """Turn tokens back into audio of the same length and position.

        Parameters
        ----------
        tokens
            Int32, shape (frames, levels), from :meth:`encode`.

        Raises
        ------
        ValueError
            If the model has no codec, or the tokens do not fit it.
        """
        decode = getattr(self.model, "decode", None)
        if decode is None:
            raise ValueError(f"model {self.model.spec.name} has no codec")
        spec = self.model.spec
        if not len(tokens):
            return Waveform(np.zeros((0, spec.channels), np.float32), spec.sample_rate)
        # The sound comes look_ahead samples late: go on for as long, with the last frame held, and cut the start.
        more = -(-spec.look_ahead // spec.frame_samples)
        _, samples = decode(None, np.concatenate([tokens, np.repeat(tokens[-1:], more, axis=0)]))
        return Waveform(samples[spec.look_ahead :][: len(tokens) * spec.frame_samples], spec.sample_rate)

    def _fitted(self, waveform: Waveform) -> NDArray[np.float32]:
        spec = self.model.spec
        return waveform.resample(spec.sample_rate).with_channels(spec.channels).samples


def names() -> list[str]:
    """Return the names that :func:`load` knows."""
    return list(MODELS)


def load(name: str = "tiny") -> System:
    """Load a model, ready to play.

    Raises
    ------
    ValueError
        If there is no model of that name.
    FileNotFoundError
        If its weights are missing.
    """
    system = System(load_model(name))
    system.model.warm_up()
    return system
