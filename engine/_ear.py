"""What lies between the input of a session and what its model hears: a gap, a loop, a loop that is held, a file.

One thread: the device's hands in a step's input with :meth:`Ear.hear` and gets what the model is to hear in it. With
every knob at its default that is the input itself. Invariants: what is heard depends on the inputs since the epoch
began, the knobs and the clock alone; whenever the place that is read jumps, or the source changes, both are crossfaded
over 10 ms.
"""

import math
from collections.abc import Mapping

import numpy as np

from jackdaw.engine.models.contract import Audio, Clock, StreamSpec

__all__ = ["MEMORY_S", "Ear"]

MEMORY_S = 32.0
"""Seconds of input that are kept; loops are no longer."""

_FADE_S = 0.010
_HELD_S = 2.0


class Ear:
    """See the module.

    Parameters
    ----------
    spec
        Of the model.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        step = spec.step_samples
        self._ring = np.zeros((math.ceil(MEMORY_S * spec.sample_rate / step) * step, spec.channels), np.float32)
        self._fade = np.linspace(0.0, 1.0, round(_FADE_S * spec.sample_rate), dtype=np.float32)[:, None]
        self._source: Audio | None = None
        self._next: Audio | None = None
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Forget all input."""
        self._ring[:] = 0.0
        self._taken = 0
        self._back = 0
        self._held: Audio | None = None
        self._held_at = 0
        self._source, self._played = self._next, 0

    def listen(self, source: Audio | None) -> None:
        """Hear this sound round and round instead of the input, float32 (samples, channels); None: the input."""
        self._next = source

    def hear(self, live: Audio, values: Mapping[str, float], clock: Clock | None, late: int) -> Audio:
        """Take in a step's input; return what the model hears.

        Parameters
        ----------
        live
            Float32 (step_samples, channels).
        values
            Of the knobs ``gap``, ``loop_delay`` and ``freeze``.
        clock
            Musical time of the step's sound; without one there are no beats to wait for.
        late
            By how many samples the input is behind the sound of the step.
        """
        step = self._spec.step_samples
        sound = self._sounding(live)
        if self._next is not self._source:
            self._source, self._played = self._next, 0
            following = self._sounding(live)
            sound = self._crossfaded(sound, following) if self._taken else following
        at = self._taken % len(self._ring)
        self._ring[at : at + step] = sound
        self._taken += step
        back = self._wanted(values, clock, late)
        heard = sound if back == 0 else self._before(back, step)
        if back != self._back:
            heard = self._crossfaded(self._before(self._back, step), heard)
            self._back = back
        return self._with_held(heard, values, clock)

    def newest(self, samples: int) -> Audio:
        """Return the newest input, up to MEMORY_S of it."""
        return self._before(0, samples)

    def _sounding(self, live: Audio) -> Audio:
        """Return the next step of the source."""
        source, start = self._source, self._played
        if source is None:
            return live
        self._played = (start + len(live)) % len(source)
        return np.take(source, np.arange(start, start + len(live)), axis=0, mode="wrap")

    def _before(self, back: int, samples: int) -> Audio:
        """Return the samples that end `back` samples before the end of the input; silence from before the epoch."""
        start = (self._taken - back - samples) % len(self._ring)
        first = self._ring[start : start + samples]
        return np.concatenate([first, self._ring[: samples - len(first)]])

    def _beats(self, beats: float, clock: Clock) -> int:
        return round(beats * 60.0 / clock.bpm * self._spec.sample_rate)

    def _wanted(self, values: Mapping[str, float], clock: Clock | None, late: int) -> int:
        """Return how far behind the input is to be heard, in samples: by the gap, or whole loops behind the sound."""
        gap = round(values["gap"] * 1e-3 * self._spec.sample_rate)
        if clock is None or not values["loop_delay"]:
            return gap
        loop = self._beats(values["loop_delay"], clock)
        first = -self._spec.hears_at - late
        back = first + loop * max(1, math.ceil((gap - first) / loop))
        return back if back <= len(self._ring) - self._spec.step_samples else gap

    def _with_held(self, heard: Audio, values: Mapping[str, float], clock: Clock | None) -> Audio:
        """Return what is heard, or the loop that is held in its place."""
        held, freezes = self._held, values["freeze"] >= 0.5
        if held is None:
            if not freezes:
                return heard
            held = self._held = self._grasped(values, clock)
            self._held_at = 0
            return self._crossfaded(heard, self._round(held))
        sound = self._round(held)
        if freezes:
            return sound
        self._held = None
        return self._crossfaded(sound, heard)

    def _grasped(self, values: Mapping[str, float], clock: Clock | None) -> Audio:
        """Return the loop that was heard last, its end made to lead into its beginning."""
        step, fade = self._spec.step_samples, len(self._fade)
        length = round(_HELD_S * self._spec.sample_rate)
        if clock is not None:
            length = self._beats(values["loop_delay"] or clock.beats_per_bar, clock)
        length = min(length, len(self._ring) - self._back - step - fade)
        before = self._before(self._back + step, length + fade)
        loop = before[fade:].copy()
        loop[-fade:] += (before[:fade] - loop[-fade:]) * self._fade
        return loop

    def _round(self, held: Audio) -> Audio:
        step = self._spec.step_samples
        sound = np.take(held, np.arange(self._held_at, self._held_at + step), axis=0, mode="wrap")
        self._held_at = (self._held_at + step) % len(held)
        return sound

    def _crossfaded(self, old: Audio, new: Audio) -> Audio:
        result, fade = new.copy(), len(self._fade)
        result[:fade] = old[:fade] + (new[:fade] - old[:fade]) * self._fade
        return result
