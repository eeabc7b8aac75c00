"""Prompts: what a style is made from, and how several are blended.

A blend is the weighted mean of the prompts' embeddings, scaled to unit length, since every model's style space is the
unit sphere. (Scaling the weights to sum 1 and then taking a plain mean as well would divide twice.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jackdaw.audio import Waveform
from jackdaw.engine.models.contract import Model, Style

__all__ = ["MAX_PROMPTS", "Prompt", "Prompts", "blend", "parse_prompt"]

MAX_PROMPTS = 16
_MAX_TEXT = 1000
_MAX_WEIGHT = 1000.0
_LONGEST_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One prompt.

    Parameters
    ----------
    text
        The style in words; or None.
    audio
        Path of an audio file with the style (its first minute counts); or None. Exactly one of the two is given.
    weight
        0 .. 1000; only proportions matter.
    """

    text: str | None = None
    audio: str | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if (self.text is None) == (self.audio is None):
            raise ValueError("a prompt is either a text or an audio file; give one of them")
        if self.text is not None and not self.text.strip():
            raise ValueError("a prompt is empty; say a style in words, e.g. slow blues")
        if self.text is not None and len(self.text) > _MAX_TEXT:
            raise ValueError(f"a prompt has {len(self.text)} characters; give at most {_MAX_TEXT}")
        if not 0.0 <= self.weight <= _MAX_WEIGHT:
            raise ValueError(f"weight of prompt {self.name!r} is {self.weight}; give a number from 0 to 1000")

    @property
    def name(self) -> str:
        """What a user calls it: the text, or the path."""
        return self.text if self.text is not None else str(self.audio)


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


def blend(styles: Sequence[Style], weights: Sequence[float]) -> Style:
    """Return the weighted mean of styles, at unit length.

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
    mean = (scale / scale.sum()) @ np.stack([np.asarray(style, np.float64) for style in styles])
    length = float(np.linalg.norm(mean))
    if length < 1e-6:
        raise ValueError("these prompts cancel each other; change their weights")
    return np.asarray(mean / length, np.float32)


class Prompts:
    """Embeds prompts for one model and remembers the embeddings. One thread at a time."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._known: dict[tuple[str, float], Style] = {}

    def style(self, prompts: Sequence[Prompt]) -> Style | None:
        """Return the blend of prompts, or None if there are none (or none with weight): the model is free.

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
            return None
        active = [prompt for prompt in prompts if prompt.weight > 0]
        if not active:
            return None
        return blend([self._embedded(prompt) for prompt in active], [prompt.weight for prompt in active])

    def _embedded(self, prompt: Prompt) -> Style:
        if prompt.audio is not None:
            path = Path(prompt.audio)
            key = (str(path.resolve()), path.stat().st_mtime)
        else:
            key = ("text:" + prompt.name.strip(), 0.0)
        if key not in self._known:
            if len(self._known) >= 4 * MAX_PROMPTS:
                self._known.pop(next(iter(self._known)))
            self._known[key] = self._model.embed(self._source(prompt))
        return self._known[key]

    def _source(self, prompt: Prompt) -> "str | np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
        if prompt.text is not None:
            return prompt.text
        spec = self._model.spec
        wave = (
            Waveform.from_file(str(prompt.audio), longest=_LONGEST_S)
            .resample(spec.sample_rate)
            .with_channels(spec.channels)
        )
        return wave.samples
