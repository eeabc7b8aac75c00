"""The knobs of one session: values in users' units, and what they mean for a step."""

from collections.abc import Mapping

import numpy as np

from jackdaw.engine.models.contract import Audio, Controls, Style
from jackdaw.engine.parameters import PARAMETERS, check_value, defaults

__all__ = ["Knobs", "linear"]

_RAMP_S = 0.020


def linear(decibels: float, silence: float) -> float:
    """Return a gain in dB as a factor; `silence` and below are 0."""
    return 0.0 if decibels <= silence else float(10.0 ** (decibels / 20.0))


class Knobs:
    """Values by name. :meth:`check` and :meth:`values` on any thread, the rest on the engine's.

    Parameters
    ----------
    values
        To start with; the others are at their defaults.
    """

    def __init__(self, values: Mapping[str, float] | None = None) -> None:
        self._values = defaults() | self.check(values or {})
        self._gain = self._volume()

    @staticmethod
    def check(values: Mapping[str, float]) -> dict[str, float]:
        """Return the values as knobs hold them.

        Raises
        ------
        ValueError
            If one is wrong; the text says which and why.
        """
        return {name: check_value(name, value) for name, value in values.items()}

    def apply(self, checked: Mapping[str, float]) -> None:
        """Turn knobs to values that :meth:`check` returned."""
        self._values = {**self._values, **checked}

    def values(self) -> dict[str, float]:
        """Return all values, in users' units."""
        return dict(self._values)

    def controls(self, style: Style | None) -> Controls:
        """Return what steers the next step."""
        values = self._values
        return Controls(
            style=style,
            temperature=values["temperature"],
            top_k=int(values["top_k"]),
            guidance=values["guidance"],
            hear=values["hear"] >= 0.5,
            input_gain=linear(values["input_gain"], PARAMETERS["input_gain"].minimum),
            feedback=values["feedback"],
        )

    def with_volume(self, audio: Audio, rate: int) -> Audio:
        """Return audio at the volume's level; a change is spread over 20 ms. At 0 dB the samples stay as they are."""
        before, after = self._gain, self._volume()
        self._gain = after
        if before == after == 1.0:
            return audio
        gain = np.full((len(audio), 1), after, np.float32)
        count = min(round(_RAMP_S * rate), len(audio))
        gain[:count, 0] = before + (after - before) * (np.arange(count) + 1.0) / max(count, 1)
        return audio * gain

    def _volume(self) -> float:
        return linear(self._values["volume"], PARAMETERS["volume"].minimum)
