"""Prompts: what a style is made from, and how several are blended.

A blend is the weighted mean of the prompts' embeddings, scaled to unit length, since every model's style space is the
unit sphere. (Scaling the weights to sum 1 and then taking a plain mean as well would divide twice.)
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jackdaw.audio import Waveform
from jackdaw.engine.models.contract import Model, Style
from jackdaw.engine.parameters import MAX_PROMPTS

__all__ = ["MAX_PROMPTS", "Embedder", "Prompt", "blend", "parse_prompt", "scaled", "style_of"]

_MAX_TEXT = 1000
_MAX_WEIGHT = 1000.0
_LONGEST_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One prompt: exactly one of `text`, `audio` and `samples`.

    Parameters
    ----------
    text
        The style in words.
    audio
        Path of an audio file with the style; its first minute counts.
    samples, rate
        Audio itself, float32, shape (n, channels) with 1 or 2 channels, and its sample rate in Hz; the first minute
        counts.
    weight
        0 .. 1000; only proportions matter.
    name
        What a user calls it; the text or the path if empty.
    embedding, model_hash
        The style that the prompt was embedded as, float32, shape (style_size,), and the hash of the model that did it;
        None if it is not embedded yet.
    """

    text: str | None = None
    audio: str | None = None
    samples: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    rate: int | None = None
    weight: float = 1.0
    name: str = ""
    embedding: Style | None = field(default=None, compare=False, repr=False)
    model_hash: str | None = None

    def __post_init__(self) -> None:
        if sum(source is not None for source in (self.text, self.audio, self.samples)) != 1:
            raise ValueError("a prompt is either a text, an audio file or samples; give one of them")
        if self.text is not None and not self.text.strip():
            raise ValueError("a prompt is empty; say a style in words, e.g. slow blues")
        if self.text is not None and len(self.text) > _MAX_TEXT:
            raise ValueError(f"a prompt has {len(self.text)} characters; give at most {_MAX_TEXT}")
        if not self.name:
            object.__setattr__(self, "name", self.text or self.audio or "samples")
        if self.samples is not None and (np.ndim(self.samples) != 2 or np.shape(self.samples)[1] not in (1, 2)):
            raise ValueError(
                f"samples of prompt {self.name!r} have shape {np.shape(self.samples)}; give (n, 1) or (n, 2)"
            )
        if (self.samples is None) != (self.rate is None):
            raise ValueError(f"prompt {self.name!r}: samples come with their rate, and only they do")
        if not 0.0 <= self.weight <= _MAX_WEIGHT:
            raise ValueError(f"weight of prompt {self.name!r} is {self.weight}; give a number from 0 to 1000")


def parse_prompt(argument: str, *, audio: bool = False) -> Prompt:
    """Read ``TEXT[:WEIGHT]`` or, with `audio`, ``FILE[:WEIGHT]``.

    Raises
    ------
    ValueError
        If the text is empty or the weight out of range.
    """
    head, colon, tail = argument.rpartition(":")
    name, weight = argument, 1.0
    if colon:
        try:
            name, weight = head, float(tail)
        except ValueError:
            name = argument
    return Prompt(audio=name, weight=weight) if audio else Prompt(text=name, weight=weight)


def scaled(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Return prompts whose weights are at most 1: if one is above, all are divided by the largest."""
    largest = max((prompt.weight for prompt in prompts), default=0.0)
    return [replace(prompt, weight=prompt.weight / largest) if largest > 1.0 else prompt for prompt in prompts]


def blend(styles: Sequence[Style], weights: Sequence[float]) -> Style:
    """Return the weighted mean of styles, at unit length; one style with weight stays as it is.

    Parameters
    ----------
    styles
        Embeddings of one length, at least one.
    weights
        As many, >= 0, not all zero; only proportions matter.

    Raises
    ------
    ValueError
        If numbers do not fit, no weight is above zero, or the styles cancel each other.
    """
    if len(styles) != len(weights) or not styles:
        raise ValueError(f"{len(styles)} styles and {len(weights)} weights: give as many of both, at least one")
    scale = np.asarray(weights, np.float64)
    if not np.all(np.isfinite(scale)) or np.any(scale < 0) or scale.sum() <= 0:
        raise ValueError(f"weights are {list(weights)}: give numbers >= 0, at least one above 0")
    if np.count_nonzero(scale) == 1:
        return styles[int(np.argmax(scale))]
    mean = (scale / scale.sum()) @ np.stack([np.asarray(style, np.float64) for style in styles])
    length = float(np.linalg.norm(mean))
    if length < 1e-6:
        raise ValueError("these prompts cancel each other; change their weights")
    return np.asarray(mean / length, np.float32)


def style_of(prompts: Sequence[Prompt]) -> Style | None:
    """Return the blend of embedded prompts; None, the model is free, if there are none or none has weight.

    Raises
    ------
    ValueError
        If they cancel each other.
    """
    active = [(prompt.embedding, prompt.weight) for prompt in prompts if prompt.embedding is not None]
    if not any(weight > 0 for _, weight in active):
        return None
    return blend([style for style, _ in active], [weight for _, weight in active])


class Embedder:
    """Embeds prompts for one model and remembers the embeddings. Any thread; it takes as long as the model takes.

    Parameters
    ----------
    model
        Whose styles.
    model_hash
        Of its weights: an embedding that comes with this hash is used as it is.
    """

    def __init__(self, model: Model, model_hash: str = "") -> None:
        self._model = model
        self._hash = model_hash
        self._lock = threading.Lock()
        self._known: dict[tuple[str, float], Style] = {}

    def embed(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Return the prompts with embeddings (None for a model without styles).

        Raises
        ------
        ValueError
            If a prompt cannot be embedded, or there are more than :data:`MAX_PROMPTS`.
        OSError
            If an audio file cannot be read.
        """
        if len(prompts) > MAX_PROMPTS:
            raise ValueError(f"{len(prompts)} prompts; give at most {MAX_PROMPTS}")
        if self._model.spec.style_size == 0:
            return [replace(prompt, embedding=None, model_hash=None) for prompt in prompts]
        styles = [self._style(prompt) for prompt in prompts]
        return [
            replace(prompt, embedding=style, model_hash=self._hash)
            for prompt, style in zip(prompts, styles, strict=True)
        ]

    def _style(self, prompt: Prompt) -> Style:
        if prompt.embedding is not None and prompt.model_hash == self._hash:
            return self._checked(prompt.name, prompt.embedding)
        if prompt.samples is not None:
            return self._model.embed(self._fitted(Waveform(prompt.samples, int(prompt.rate or 0)).cut(0.0, _LONGEST_S)))
        if prompt.audio is not None:
            path = Path(prompt.audio)
            key = (str(path.resolve()), path.stat().st_mtime)
        else:
            key = ("text:" + str(prompt.text).strip(), 0.0)
        with self._lock:
            known = self._known.get(key)
        if known is None:
            known = self._model.embed(
                str(prompt.text)
                if prompt.audio is None
                else self._fitted(Waveform.from_file(prompt.audio, longest=_LONGEST_S))
            )
            with self._lock:
                if len(self._known) >= 8 * MAX_PROMPTS:
                    self._known.pop(next(iter(self._known)))
                self._known[key] = known
        return known

    def _checked(self, name: str, embedding: Style) -> Style:
        size = self._model.spec.style_size
        style = np.asarray(embedding, np.float32)
        if style.shape != (size,) or not np.all(np.isfinite(style)) or not 0.99 < np.linalg.norm(style) < 1.01:
            raise ValueError(f"the embedding of prompt {name!r} is not {size} numbers of unit length; leave it out")
        return style

    def _fitted(self, wave: Waveform) -> NDArray[np.float32]:
        spec = self._model.spec
        return wave.resample(spec.sample_rate).with_channels(spec.channels).samples
