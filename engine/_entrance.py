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
        self._had_clock = False
        self._silent = 0.0
        self._gains = np.zeros(0, np.float32)

    def begin_epoch(self) -> None:
        """Begin anew: the intro is played again."""
        self._had_clock, self._silent = False, 0.0

    def look(self, live: Audio, values: Mapping[str, float], clock: Clock | None) -> None:
        """See a step's input, float32 (step_samples, channels), and the musical time of what the model then chooses."""
        lowest = 10.0 ** (values["duck"] / 20.0)
        gains = self._ducked(live, lowest) if lowest < 1.0 or self._gain < 1.0 else None
        rate, samples = self._spec.sample_rate, self._spec.step_samples
        if clock is not None:
            if not self._had_clock and values["intro"]:
                late = self._spec.look_ahead / rate * clock.bpm / 60.0
                self._silent = values["intro"] * clock.beats_per_bar - (clock.beat - late)
            if self._silent > 0:
                left = round(self._silent * 60.0 / clock.bpm * rate)
                entrance = np.clip((np.arange(samples) - left) / (_FADE_S * rate), 0.0, 1.0)
                gains = entrance if gains is None else gains * entrance
                self._silent -= samples / rate * clock.bpm / 60.0
        else:
            self._silent = 0.0
        self._had_clock = clock is not None
        self._gains = np.zeros(0, np.float32) if gains is None else gains.astype(np.float32)

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
