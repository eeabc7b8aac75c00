"""Music to a file, offline: as fast as the model can, and equal bytes for equal arguments.

A step hears the input of the step before it, and the model's look-ahead is cut off at the start, so that input and
output lie on one time axis. There is no clock: loops in time and intros are not offline.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from jackdaw.audio import Waveform, write_file
from jackdaw.engine._ear import Ear
from jackdaw.engine._entrance import Entrance
from jackdaw.engine._knobs import Knobs, Steering
from jackdaw.engine._live_style import LiveStyle
from jackdaw.engine.models.contract import Audio, Model, Style
from jackdaw.engine.prompts import Embedder, Prompt, style_of
from jackdaw.engine.weights.registry import load_model

__all__ = ["Rendered", "render", "render_file"]


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """How a rendering went.

    Parameters
    ----------
    seconds
        Of music.
    speed
        Times real time, without the start.
    start_s
        Seconds to load and compile the model and embed the prompts.
    """

    seconds: float
    speed: float
    start_s: float


def render(
    model: Model,
    *,
    samples: int,
    seed: int = 0,
    style: Style | None = None,
    parameters: Mapping[str, float] | None = None,
    heard: Audio | None = None,
) -> Iterator[Audio]:
    """Yield music in pieces, `samples` in all.

    Parameters
    ----------
    model
        Warmed up or not.
    samples
        How much, at the model's rate.
    seed, style
        What to play.
    parameters
        Values of knobs; the others are at their defaults.
    heard
        What the model hears, from the first sample on, at its rate and with its channels; None = nothing is connected.

    Raises
    ------
    ValueError
        If a knob's value is wrong, or the input's style is wanted and has none.
    """
    spec = model.spec
    knobs = Knobs(parameters, () if style is None else (style,))
    steering, values = Steering(knobs, spec), knobs.now.values
    ear, entrance = Ear(spec), Entrance(spec)
    state = model.init(seed)
    skip, left, at = spec.look_ahead, samples, 0
    with closing(LiveStyle(model, _give_up)) as live_style:
        while left > 0:
            now = live = None
            if heard is not None:
                sound = _slice(heard, at - spec.step_samples, spec.step_samples)
                now = ear.hear(sound, values, None, spec.step_samples)
                entrance.look(sound, values, None)
                live = live_style.look(values["live_style"] > 0, ear.newest, waits=True)
            state, audio = model.step(state, steering.controls(live=live), now)
            at += spec.step_samples
            piece = steering.with_volume(entrance.shaped(audio))[skip : skip + left]
            skip = max(0, skip - spec.step_samples)
            left -= len(piece)
            if len(piece):
                yield piece


def _give_up(event: str, *, error: str) -> None:
    raise ValueError(f"{event}: {error}")


def _slice(audio: Audio, start: int, count: int) -> Audio:
    """Return `count` samples from `start`; silence beyond the ends."""
    piece = np.zeros((count, audio.shape[1]), np.float32)
    known = audio[max(start, 0) : max(start + count, 0)]
    offset = max(-start, 0)
    piece[offset : offset + len(known)] = known
    return piece


def render_file(
    path: str | Path,
    *,
    model: str,
    prompts: Sequence[tuple[str, float]] = (),
    audio_prompts: Sequence[tuple[str, float]] = (),
    seconds: float = 30.0,
    seed: int = 0,
    parameters: Mapping[str, float] | None = None,
    heard: str | Path | None = None,
    progress: bool = False,
) -> Rendered:
    """Render music into a WAV or FLAC file, which appears when it is complete.

    Parameters
    ----------
    path
        Ends in .wav or .flac.
    model
        A name from the registry.
    prompts, audio_prompts
        Texts, and paths of audio files, each with its weight.
    seconds
        How much music, more than 0.
    seed
        Equal seed, equal bytes.
    parameters
        Values of knobs; the others are at their defaults.
    heard
        An audio file that the model hears while it plays.
    progress
        Show a bar on stderr.

    Raises
    ------
    ValueError, OSError
        With a text for the user, if an argument is wrong or a file cannot be read or written; nothing is left behind.
    """
    if not seconds > 0:
        raise ValueError(f"{seconds:g} s of music: give more than 0")
    begun = time.perf_counter()
    player = load_model(model)
    given = [Prompt(text=text, weight=weight) for text, weight in prompts]
    given += [Prompt(audio=name, weight=weight) for name, weight in audio_prompts]
    style = style_of(Embedder(player).embed(given))
    rate, channels = player.spec.sample_rate, player.spec.channels
    sound = None
    if heard is not None:
        sound = Waveform.from_file(heard).resample(rate).with_channels(channels).samples
    player.warm_up()
    started = time.perf_counter()
    samples = round(seconds * rate)
    music = render(player, samples=samples, seed=seed, style=style, parameters=parameters, heard=sound)
    columns = (TextColumn("rendering"), BarColumn(), TextColumn("{task.percentage:.0f} %"), TimeRemainingColumn())
    with (
        Progress(*columns, console=Console(stderr=True), transient=True, disable=not progress) as bar,
        write_file(path, rate, channels) as append,
    ):
        task = bar.add_task("", total=samples)
        for piece in music:
            append(piece)
            bar.advance(task, len(piece))
    spent = max(time.perf_counter() - started, 1e-9)
    return Rendered(seconds=samples / rate, speed=samples / rate / spent, start_s=started - begun)
