"""The model contract: what every model family is to the rest of the house.

A model is a set of pure functions over an explicit state. The session owns the state, calls :meth:`Model.step` from
the one thread of its device, and hands in what was heard; nothing here knows of rings, sockets or clocks. Since the
state is a value, it can be kept, restored and forked: two calls with equal arguments give equal results, bit for bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CHORD_TONES",
    "Audio",
    "Chord",
    "Clock",
    "Controls",
    "Item",
    "Model",
    "StreamSpec",
    "Style",
    "check_audio",
    "check_tokens",
    "step_all",
]

Audio = NDArray[np.float32]
"""Samples, float32, shape (samples, channels), nominal range -1..1."""

Style = NDArray[np.float32]
"""A style embedding, float32, shape (style_size,), unit length."""


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """What a model makes and what it understands.

    Parameters
    ----------
    name
        The name by which users ask for the model, e.g. ``tiny``.
    sample_rate
        Of the audio in and out, in Hz.
    channels
        1 or 2.
    frame_samples
        Samples per token frame (1920 at 25 frames/s and 48 kHz).
    frames_per_step
        Token frames that one step makes: 1 for frame-wise models, 50 for 2 s chunks.
    look_ahead
        Samples by which the audio that a step returns lags behind the tokens it chose.
    levels, codebook
        RVQ levels per frame and codes per level; 0 if the model has no tokens.
    style_size
        Length of a style embedding; 0 if the model has no style.
    controls
        Names of the :class:`Controls` fields that change the model's output; the others are ignored by it.
    hears
        Whether `heard` input changes what the model plays.
    hears_at
        Where what is heard in a step is put, in samples from the step's first: 0 if it is heard together with the sound
        that the step returns, less if it takes the place of what sounded before.
    """

    name: str
    sample_rate: int = 48000
    channels: int = 2
    frame_samples: int = 1920
    frames_per_step: int = 1
    look_ahead: int = 0
    levels: int = 0
    codebook: int = 0
    style_size: int = 0
    controls: frozenset[str] = frozenset()
    hears: bool = False
    hears_at: int = 0

    @property
    def step_samples(self) -> int:
        """Samples that one step makes."""
        return self.frame_samples * self.frames_per_step

    @property
    def step_seconds(self) -> float:
        """Duration of one step, in seconds."""
        return self.step_samples / self.sample_rate


CHORD_TONES: Mapping[str, tuple[int, ...]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "dim": (0, 3, 6),
}
"""The qualities that a :class:`Chord` may have, and their semitones above the root."""


@dataclass(frozen=True, kw_only=True)
class Chord:
    """A chord: root pitch class 0..11 (0 = C) and quality, one of :data:`CHORD_TONES`."""

    root: int
    quality: str = "maj"


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Musical time at the first sample of a step.

    Parameters
    ----------
    bpm
        Beats per minute, 30..300.
    beat
        Position in the bar in beats, 0 <= beat < beats_per_bar.
    beats_per_bar
        2..12.
    """

    bpm: float
    beat: float
    beats_per_bar: int = 4


@dataclass(frozen=True, kw_only=True)
class Controls:
    """Everything that steers one step. ``None`` means "not given": the model is free.

    Parameters
    ----------
    style
        Style embedding or None.
    temperature
        0 (greedy) .. 4.
    top_k
        1 .. 1024 codes per level.
    guidance
        0 (off) .. 10: how strongly the style is followed.
    hear
        Whether what was heard enters the context.
    input_gain, feedback
        Linear gains, 0..4 and 0..1, of the input and of the model's own output in what it is told was played.
    clock, chord
        Musical time and harmony, for models that understand them.
    follow
        Whether the harmony of what is heard leads, while no chord is given.
    notes
        The MIDI notes held during the step, 0..127, for models that understand them; None while nobody plays any.
    drums, energy, density
        Whether drums are to play, how loud the music is to be (-60 .. 0 dBFS, RMS over a second), and how many notes
        are to begin in a second (0 .. 40), for models that understand them.
    extra
        Controls that only one family knows, by name.
    """

    style: Style | None = None
    temperature: float = 1.0
    top_k: int = 50
    guidance: float = 0.0
    hear: bool = True
    input_gain: float = 1.0
    feedback: float = 1.0
    clock: Clock | None = None
    chord: Chord | None = None
    follow: bool = True
    notes: frozenset[int] | None = None
    drums: bool | None = None
    energy: float | None = None
    density: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def with_(self, **changes: Any) -> "Controls":
        """Return a copy with some fields changed."""
        return replace(self, **changes)


@runtime_checkable
class Model(Protocol):
    """A live music model. States are opaque pytrees of arrays and numbers, never mutated in place."""

    @property
    def spec(self) -> StreamSpec:
        """What the model makes and understands."""

    def init(self, seed: int) -> Any:
        """Return a fresh state; all randomness of the stream derives from (seed, frame index)."""

    def step(self, state: Any, controls: Controls, heard: Audio | None) -> tuple[Any, Audio]:
        """Make one step of audio.

        Parameters
        ----------
        state
            From :meth:`init` or an earlier step.
        controls
            What steers this step.
        heard
            Input of one step, shape (step_samples, channels), or None if nothing is connected.

        Returns
        -------
        state, audio
            The next state and float32 audio of shape (step_samples, channels).
        """

    def encode(self, state: Any, audio: Audio) -> tuple[Any, NDArray[np.int32]]:
        """Tokenise a whole number of frames of audio; `state` None starts a stream.

        Returns
        -------
        state, tokens
            The encoder's state and int32 tokens of shape (frames, levels).
        """

    def embed(self, prompt: "str | Audio") -> Style:
        """Embed a text, or audio at the model's rate, as a style.

        Raises
        ------
        ValueError
            If the text is empty or the audio is silent or shorter than 0.1 s.
        """

    def warm_up(self) -> None:
        """Compile what the first step needs, so that the first step is as quick as the others."""


Item = tuple[Any, Controls, Audio | None]
"""The arguments of a step of one stream: its state, what steers it, what it hears."""


def step_all(model: Model, items: Sequence[Item]) -> list[tuple[Any, Audio]]:
    """Make one step of several streams of one model.

    A model may have ``step_many(items) -> [(state, audio), ...]``, which does the same for less than the sum of the
    steps: it reads the weights once, say. It keeps these promises:

    - Every stream gets what :meth:`Model.step` would give it, up to rounding, whatever the others are, and in whatever
      order. Streams whose controls differ go together.
    - A stream that is alone is given to :meth:`Model.step`, so that its bytes do not depend on others; those that must
      repeat to the byte, as a bounce must, are to be stepped alone always.
    - It never waits for anything to be compiled, and it leaves the states that it was given alone, even if it raises.

    Parameters
    ----------
    model
        All streams are of this model.
    items
        For each stream its state, controls and input, as for :meth:`Model.step`.

    Returns
    -------
    list
        The next state and the audio of each stream, in the order of `items`.
    """
    many = getattr(model, "step_many", None)
    if many is None or len(items) < 2:
        return [model.step(*item) for item in items]
    made: list[tuple[Any, Audio]] = many(items)
    return made


def check_audio(spec: StreamSpec, audio: Audio) -> None:
    """Check that a model can tokenise this audio.

    Raises
    ------
    ValueError
        If it is not whole frames of the model's channels.
    """
    if audio.ndim != 2 or audio.shape[1] != spec.channels or len(audio) % spec.frame_samples:
        raise ValueError(f"audio has shape {audio.shape}: give (whole frames of {spec.frame_samples}, {spec.channels})")


def check_tokens(spec: StreamSpec, tokens: NDArray[np.integer[Any]]) -> None:
    """Check that a model can make sound of these tokens.

    Raises
    ------
    ValueError
        If they are not (frames, levels), or there is no such code.
    """
    if tokens.ndim != 2 or tokens.shape[1] != spec.levels or np.any((tokens < 0) | (tokens >= spec.codebook)):
        raise ValueError(
            f"tokens of shape {tokens.shape}: give (frames, {spec.levels}) codes from 0 to {spec.codebook - 1}"
        )
