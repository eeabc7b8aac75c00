"""How loud the model's sound is let in: ducked while the input sounds, silent during an intro.

One thread, step by step: :meth:`Entrance.look` sees a step's input and musical time before the model is asked,
:meth:`Entrance.shaped` then shapes what it made. With both knobs at their defaults samples stay as they are.
"""

from collections.abc import Mapping

import numpy as np

from jackdaw.engine.models.contract import Audio, Clock, StreamSpec

__all__ = ["DUCKING_DB", "Entrance"]

DUCKING_DB = -50.0
"""Input above this, in dBFS (RMS over 2 ms), ducks."""

_BLOCK_S = 0.002
_ATTACK_S, _RELEASE_S = 0.010, 0.300
_FADE_S = 0.005


class Entrance:
    """See the module.

    Parameters
    ----------
    spec
        Of the model.
    """

    def __init__(self, spec: StreamSpec) -> None:
        self._spec = spec
        self._gain = 1.0
        self._gains = np.zeros(0, np.float32)
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Begin anew: the intro is played again, and what sounded before is not faded."""
        self.begin_intro()
        self._open: float | None = None

    def begin_intro(self) -> None:
        """Let the intro be played again; the music fades into it."""
        self._had_clock, self._silent = False, 0.0

    def look(self, live: Audio, values: Mapping[str, float], clock: Clock | None, *, early: bool = False) -> None:
        """See a step's input, float32 (step_samples, channels), and the musical time of what the model then chooses.

        `early` says that there may be a clock, but that it can't be asked yet.
        """
        lowest = 10.0 ** (values["duck"] / 20.0)
        gains = self._ducked(live, lowest) if lowest < 1.0 or self._gain < 1.0 else None
        entrance = self._entered(self._left(values["intro"], clock), bool(values["intro"]) and early and clock is None)
        if entrance is not None:
            gains = entrance if gains is None else gains * entrance
        self._gains = np.zeros(0, np.float32) if gains is None else gains.astype(np.float32)

    def _left(self, bars: float, clock: Clock | None) -> int:
        """Return by how many samples the model's entry is after the beginning of this step, and go on by a step."""
        rate = self._spec.sample_rate
        had, self._had_clock = self._had_clock, clock is not None
        if clock is None or not bars:
            self._silent = 0.0
            return 0
        if not had:
            late = self._spec.look_ahead / rate * clock.bpm / 60.0
            self._silent = bars * clock.beats_per_bar - (clock.beat - late)
        left = round(self._silent * 60.0 / clock.bpm * rate)
        self._silent = max(0.0, self._silent - self._spec.step_seconds * clock.bpm / 60.0)
        return left

    def _entered(self, left: int, waits: bool) -> "np.ndarray[tuple[int], np.dtype[np.float64]] | None":
        """Return the gain of an intro for each sample: down at once, up from the entry on; None: all is let in."""
        samples = self._spec.step_samples
        if waits:
            self._open = 0.0
            return np.zeros(samples)
        start = self._open
        if start is None:  # nothing has sounded yet
            start = 0.0 if left else 1.0
        if start == 1.0 and not left:
            self._open = 1.0
            return None
        at, ramp = np.arange(1, samples + 1), _FADE_S * self._spec.sample_rate
        closing = np.maximum(start - np.minimum(at, left) / ramp, 0.0)
        gains = np.minimum(closing + np.maximum(at - left, 0) / ramp, 1.0)
        self._open = float(gains[-1])
        return gains

    def shaped(self, audio: Audio) -> Audio:
        """Return what the model made in that step, at its level."""
        return audio * self._gains[:, None] if len(self._gains) else audio

    def _ducked(self, live: Audio, lowest: float) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """Return a gain for each sample, which falls towards `lowest` while the input sounds."""
        size = max(1, round(_BLOCK_S * self._spec.sample_rate))
        starts = np.arange(0, len(live), size)
        powers = np.add.reduceat(np.square(live, dtype=np.float64).mean(axis=1), starts) / size
        gains = [self._gain]
        for power in powers:
            goal = lowest if power > 10.0 ** (DUCKING_DB / 10.0) else 1.0
            span = _ATTACK_S if goal < gains[-1] else _RELEASE_S
            gain = goal + (gains[-1] - goal) * np.exp(-_BLOCK_S / span)
            gains.append(1.0 if abs(gain - 1.0) < 1e-4 else gain)
        self._gain = gains[-1]
        return np.interp(np.arange(1, len(live) + 1), [0, *(starts + size)], gains)
