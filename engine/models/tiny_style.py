"""Style space of the bundled model: words and audio become points on one unit sphere of 128 dimensions.

The text tower is a static table with one row for each word piece: a phrase is the sum of its rows, scaled to unit
length. Its pieces also vote for groups of styles, which draws a phrase towards the styles that its words stand for.
The audio tower pools a small convolutional network over log-mel bands of up to ten seconds, and was trained to land
where the captions of that music land. Everything here is a pure function of (weights, input); the weights are read
elsewhere (:mod:`jackdaw.engine.training.style` makes them). Invariants: every style that leaves this module is
float32, finite, and of unit length; equal input gives equal output.

The table was distilled from the sentence model all-MiniLM-L6-v2 (Apache-2.0), whose word-piece vocabulary
(BERT uncased, Apache-2.0) it shares.
"""

import functools
import unicodedata
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models.contract import Audio, Style

__all__ = [
    "BANDS",
    "BAND_HOP",
    "SAMPLE_RATE",
    "STYLE_SIZE",
    "AudioTower",
    "WordPieces",
    "drawn_to",
    "embed_audio",
    "embed_bands",
    "embed_text",
    "mel_bands",
    "names_one_of",
]

STYLE_SIZE = 128
SAMPLE_RATE = 48000
BANDS = 80
BAND_HOP = 1920
_WINDOW = 4096
_LOW_HZ, _HIGH_HZ = 40.0, 14000.0
_LONGEST_SECONDS = 10.0
_SHORTEST_SECONDS = 0.1
_SILENCE = 1e-4
_LONGEST_WORD = 100
_NEARNESS, _DRAW = 20.0, 4.0
"""How fast names count less with distance (of the cosine, in a softmax), and what they weigh beside a phrase itself."""


class WordPieces:
    """WordPiece tokenizer of the uncased BERT family: lower case, no accents, longest match first.

    Parameters
    ----------
    vocabulary
        The pieces, one for each row of the table; continuations start with ``##``.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._ids = {piece: index for index, piece in enumerate(vocabulary)}
        self._longest = max(map(len, vocabulary), default=0)

    def __call__(self, text: str) -> list[int]:
        """Return the rows of the pieces of `text`; words that cannot be spelt in pieces are left out."""
        return [row for word in _words(text) for row in self._split(word)]

    def _split(self, word: str) -> list[int]:
        rows: list[int] = []
        start = 0
        while start < len(word) <= _LONGEST_WORD:
            prefix = "##" if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                row = self._ids.get(prefix + word[start:end])
                if row is not None:
                    break
            else:
                return []
            rows.append(row)
            start = end
        return rows


def _words(text: str) -> list[str]:
    """Split into lower-case words and single punctuation marks, without accents and control characters."""
    spaced: list[str] = []
    for char in unicodedata.normalize("NFD", "".join(filter(_keeps, text)).lower()):
        if unicodedata.category(char) == "Mn":
            continue
        spaced.append(f" {char} " if _stands_alone(char) else char)
    return "".join(spaced).split()


def _keeps(char: str) -> bool:
    return char in "\t\n\r" or not unicodedata.category(char).startswith("C")


def _stands_alone(char: str) -> bool:
    code = ord(char)
    if code < 128:
        return 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    ideograph = 0x3400 <= code <= 0x4DBF or 0x4E00 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or code >= 0x20000
    return ideograph or unicodedata.category(char).startswith("P")


def embed_text(weights: Mapping[str, NDArray[np.generic]], pieces: WordPieces, text: str) -> Style:
    """Embed a phrase.

    Parameters
    ----------
    weights
        ``table``: int8, shape (pieces, 128); ``scale``: float, shape (pieces,), what one step of a row is worth.
        ``votes``, ``vote_scale``: as these, shape (pieces, groups); ``groups``: float, shape (groups, 128), where
        each draws a phrase.
    pieces
        The tokenizer over the same rows.
    text
        Any English words.

    Returns
    -------
    Style
        Float32, shape (128,), unit length.

    Raises
    ------
    ValueError
        If the text is empty or has no word that the table knows.
    """
    if not text.strip():
        raise ValueError("the style prompt is empty; say a style in words, e.g. slow blues")
    rows = pieces(text)
    if not rows:
        raise ValueError(f"no word of the style prompt {text!r} is known; describe the style in English words")
    total, votes = (
        (weights[table][rows].astype(np.float32) * weights[scale][rows].astype(np.float32)[:, None]).sum(axis=0)
        for table, scale in (("table", "scale"), ("votes", "vote_scale"))
    )
    meant = _unit(total)
    logits = votes / np.linalg.norm(total)
    shares = np.exp(logits - logits.max())
    return _unit(meant + shares / shares.sum() @ weights["groups"].astype(np.float32))


def names_one_of(names: Sequence[str], text: str) -> bool:
    """Return whether a phrase has one of these names in it, word by word."""
    spoken = f" {' '.join(_words(text))} "
    return any(f" {' '.join(_words(name))} " in spoken for name in names)


def drawn_to(named: NDArray[np.float32], meant: Style) -> Style:
    """Draw a style to the styles that have names, the nearest most: what the language model learnt lies there.

    Parameters
    ----------
    named
        Float32, shape (names, 128), unit lengths; at least one.
    meant
        What a phrase in other words means.
    """
    cosines = named @ meant
    shares = np.exp(_NEARNESS * (cosines - cosines.max()))
    return _unit(meant + np.float32(_DRAW) * _unit(shares @ named))


def _unit(vector: NDArray[np.float32]) -> Style:
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0.0:
        raise ValueError("the style has no direction; describe it in other words")
    return np.asarray(vector / length, dtype=np.float32)


def _hertz_to_mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """O'Shaughnessy's mel scale (1987)."""
    return 2595.0 * np.log10(1.0 + hertz / 700.0)


@functools.cache
def _filters() -> NDArray[np.float32]:
    """Triangular mel filters, shape (bins, BANDS)."""
    ends = _hertz_to_mel(np.array([_LOW_HZ, _HIGH_HZ]))
    centres = 700.0 * (10.0 ** (np.linspace(ends[0], ends[1], BANDS + 2) / 2595.0) - 1.0)
    bins = np.fft.rfftfreq(_WINDOW, 1.0 / SAMPLE_RATE)[:, None]
    rising = (bins - centres[None, :-2]) / (centres[1:-1] - centres[:-2])
    falling = (centres[None, 2:] - bins) / (centres[2:] - centres[1:-1])
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def mel_bands(audio: Audio) -> NDArray[np.float32]:
    """Log-mel bands relative to the loudest, at 25 frames a second.

    Parameters
    ----------
    audio
        Float32 at 48 kHz, shape (samples, channels), at least 0.1 s and not silent; all of it is analysed.

    Returns
    -------
    ndarray
        Float32, shape (frames, 80), about -1 (80 dB below the loudest band) .. 0.

    Raises
    ------
    ValueError
        If the audio is shorter than 0.1 s, or silent (peak below -80 dB of full scale).
    """
    mono = np.asarray(audio, dtype=np.float32).mean(axis=1)
    if len(mono) < _SHORTEST_SECONDS * SAMPLE_RATE:
        raise ValueError(f"the audio prompt lasts {len(mono) / SAMPLE_RATE:.3f} s; give at least {_SHORTEST_SECONDS} s")
    if not np.isfinite(mono).all() or float(np.abs(mono).max()) < _SILENCE:
        raise ValueError("the audio prompt is silent; give audio that can be heard")
    count = max(1, -(-len(mono) // BAND_HOP))
    padded = np.pad(mono, (_WINDOW // 2, _WINDOW // 2 + count * BAND_HOP - len(mono)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[: count * BAND_HOP : BAND_HOP]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(_WINDOW).astype(np.float32), axis=1)).astype(np.float32)
    power = (spectrum**2) @ _filters()
    decibels = 10.0 * np.log10(np.maximum(power / max(float(power.max()), 1e-20), 1e-8))
    return np.asarray(decibels / 80.0, dtype=np.float32)


class AudioTower(nn.Module):
    """Two strided convolutions over time, mean and deviation over all frames, and a projection to the sphere.

    Input float32 (batch, frames, 80) and a frame mask (batch, frames) of 0 and 1; output (batch, 128), unit length.
    """

    width: int = 192

    @nn.compact
    def __call__(self, bands: jax.Array, mask: jax.Array) -> jax.Array:
        """Embed a batch of band sequences."""
        hidden = bands * 4.0 + 2.0
        for _ in range(2):
            hidden = jnp.concatenate([hidden, jnp.pad(hidden, ((0, 0), (1, 0), (0, 0)))[:, :-1]], axis=-1)
            hidden = nn.gelu(nn.Dense(self.width)(nn.LayerNorm()(nn.Dense(self.width)(hidden))))
        weight = mask[..., None] / jnp.maximum(mask.sum(axis=1), 1.0)[:, None, None]
        mean = (hidden * weight).sum(axis=1)
        deviation = jnp.sqrt(((hidden - mean[:, None]) ** 2 * weight).sum(axis=1) + 1e-5)
        out = nn.Dense(STYLE_SIZE)(nn.gelu(nn.Dense(2 * self.width)(jnp.concatenate([mean, deviation], axis=-1))))
        return out / (jnp.linalg.norm(out, axis=-1, keepdims=True) + 1e-8)


@jax.jit
def _tower(params: Mapping[str, object], bands: jax.Array, mask: jax.Array) -> jax.Array:
    return AudioTower().apply({"params": params}, bands, mask)  # type: ignore[no-any-return]


def embed_bands(params: Mapping[str, object], bands: NDArray[np.float32]) -> Style:
    """Embed log-mel bands of shape (frames, 80), the first ten seconds of them."""
    longest = int(_LONGEST_SECONDS * SAMPLE_RATE / BAND_HOP)
    used = bands[:longest]
    padded = np.zeros((1, longest, BANDS), np.float32)
    padded[0, : len(used)] = used
    mask = (np.arange(longest) < len(used)).astype(np.float32)[None]
    return _unit(np.asarray(_tower(params, padded, mask), dtype=np.float32)[0])


def embed_audio(params: Mapping[str, object], audio: Audio) -> Style:
    """Embed up to ten seconds of audio at 48 kHz, shape (samples, channels).

    Raises
    ------
    ValueError
        If the audio is silent or shorter than 0.1 s.
    """
    return embed_bands(params, mel_bands(audio[: int(_LONGEST_SECONDS * SAMPLE_RATE)]))
