"""MusicCoCa, the style model of Magenta RealTime: words or sound to a style, and a style to tokens.

Its five networks come compiled (:class:`Networks`); here is what goes into them and comes out. A style is a unit
vector: that is what the mapper's output is scaled to, and so are the mean over clips and blends of prompts. Blends
themselves are made, and embeddings remembered, by :mod:`jackdaw.engine.prompts`, as for every model.

Constants are those of `magenta-rt` 2.0.3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import soxr
from numpy.typing import NDArray

from jackdaw.engine.models.contract import Audio, Style

__all__ = ["CLIP_SAMPLES", "LEVELS", "STYLE_SIZE", "MusicCoCa", "Network", "Networks", "clips", "text_inputs"]

STYLE_SIZE, LEVELS = 768, 12
"""Length of a style, and tokens that it is told by."""

RATE, CLIP_SAMPLES = 16000, 160000
"""Samples a second, and in a clip of 10 s."""

_SOURCE_RATE = 48000
_LENGTH, _START = 128, 1
_SHORTEST_S, _QUIETEST = 0.1, 1e-4

Floats = NDArray[np.float32]


class Network(Protocol):
    """A compiled network; any thread."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many values each input has."""

    def __call__(self, *inputs: NDArray[Any]) -> NDArray[Any]:
        """Return the first output; inputs may have any shape of the right size."""


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The networks.

    Parameters
    ----------
    text
        int32 ids and float32 paddings, both (128,), to an embedding (768,).
    mapper
        An embedding of text and normal noise, both (768,), to one as sound would have it.
    preprocessor
        A clip, float32 at 16 kHz, to features.
    music
        Features to an embedding (768,).
    quantiser
        A style (768,) to its tokens, at least 12.
    """

    text: Network
    mapper: Network
    preprocessor: Network
    music: Network
    quantiser: Network


def text_inputs(ids: Sequence[int]) -> tuple[NDArray[np.int32], Floats]:
    """Return what the text network reads: ids behind a start id, cut or filled to 128, and 1 where they are filled."""
    kept = [_START, *ids[: _LENGTH - 1]]
    padded = np.zeros(_LENGTH, np.int32)
    padded[: len(kept)] = kept
    return padded, (np.arange(_LENGTH) >= len(kept)).astype(np.float32)


def clips(audio: Audio) -> Floats:
    """Return sound at 48 kHz, (samples, channels), as clips of 10 s at 16 kHz, (n, CLIP_SAMPLES); the last filled."""
    mono = audio.mean(axis=1, dtype=np.float32)
    there = np.asarray(soxr.resample(mono, _SOURCE_RATE, RATE, quality="HQ"), np.float32)
    return np.pad(there, (0, -len(there) % CLIP_SAMPLES)).reshape(-1, CLIP_SAMPLES)


def _unit(vector: NDArray[Any], what: str) -> Style:
    if vector.size != STYLE_SIZE:
        raise ValueError(
            f"MusicCoCa embeds {what} as {vector.size} numbers instead of {STYLE_SIZE}: is it the right file?"
        )
    values = vector.astype(np.float32).reshape(STYLE_SIZE)
    length = np.linalg.norm(values)
    if not np.isfinite(length) or length < 1e-6:
        raise ValueError(f"MusicCoCa makes nothing of {what}: try another prompt")
    return np.asarray(values / length, np.float32)


class MusicCoCa:
    """See the module; any thread.

    Parameters
    ----------
    networks
        Compiled.
    spell
        Gives the vocabulary's ids of a text in lower case.
    mapped
        Whether text goes through the mapper, as in the official players: prompts in words then act like sound.
    """

    def __init__(self, networks: Networks, spell: Callable[[str], Sequence[int]], *, mapped: bool = True) -> None:
        self._networks, self._spell, self._mapped = networks, spell, mapped

    def embed(self, prompt: "str | Audio", seed: int = 0) -> Style:
        """Embed a text, or sound at 48 kHz of shape (samples, channels).

        Parameters
        ----------
        prompt
            What.
        seed
            Of the mapper's noise, for a text.

        Raises
        ------
        ValueError
            If the text is empty, or the sound is silent or shorter than 0.1 s.
        """
        return self._text(prompt, seed) if isinstance(prompt, str) else self._sound(prompt)

    def _text(self, text: str, seed: int) -> Style:
        if not text.strip():
            raise ValueError("the prompt is empty; say a style in words, e.g. slow blues")
        embedding = self._networks.text(*text_inputs(self._spell(text.lower())))
        if self._mapped:
            noise = np.random.RandomState(seed).randn(STYLE_SIZE).astype(np.float32)
            embedding = self._networks.mapper(embedding, noise)
        return _unit(embedding, repr(text))

    def _sound(self, audio: Audio) -> Style:
        if audio.ndim != 2 or len(audio) < _SHORTEST_S * _SOURCE_RATE:
            raise ValueError("the audio prompt is shorter than 0.1 s; give some seconds of music")
        if not np.max(np.abs(audio)) >= _QUIETEST:
            raise ValueError("the audio prompt is silent; give some seconds of music")
        networks = self._networks
        size = networks.preprocessor.sizes[0]
        found = []
        for clip in clips(audio):
            fitted = np.zeros(size, np.float32)
            fitted[:CLIP_SAMPLES] = clip[:size]
            found.append(networks.music(networks.preprocessor(fitted)).reshape(-1))
        return _unit(np.mean(found, axis=0), "this sound")

    def tokenise(self, style: Style) -> NDArray[np.int32]:
        """Return a style's tokens, coarsest first, int32 (12,).

        Raises
        ------
        ValueError
            If it has another length than styles have.
        """
        if style.shape != (STYLE_SIZE,):
            raise ValueError(f"a style has shape {style.shape}; ({STYLE_SIZE},) belongs here")
        return self._networks.quantiser(style).reshape(-1)[:LEVELS].astype(np.int32)
