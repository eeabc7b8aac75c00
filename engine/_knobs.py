"""The knobs of one session: values in users' units, and what they mean for a step.

:class:`Knobs` belongs to all threads: whoever turns one exchanges the whole setting at once, so that a step never sees
half of a change. :class:`Steering` belongs to the thread that steps the model, looks at the setting once a step, and
spreads what would be heard as a jump: the volume over 20 ms, the prompts' weights over 50 ms, and the input's style
and its weight over 100 ms.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jackdaw.engine.models.contract import Audio, Clock, Controls, StreamSpec, Style
from jackdaw.engine.parameters import PARAMETERS, check_value, defaults
from jackdaw.engine.prompts import blend

__all__ = ["Knobs", "Setting", "Steering", "linear"]

_VOLUME_S = 0.020
_WEIGHTS_S = 0.050
_LIVE_S = 0.100
_NEAR = 1e-3


def linear(decibels: float, silence: float) -> float:
    """Return a gain in dB as a factor; `silence` and below are 0."""
    return 0.0 if decibels <= silence else float(10.0 ** (decibels / 20.0))


def _asked(values: Mapping[str, float], name: str) -> float | None:
    """Return a value, or None where the knob stands at its least: then nothing is asked for."""
    return None if values[name] <= PARAMETERS[name].minimum else values[name]


@dataclass(frozen=True, eq=False)
class Setting:
    """All that steers a session at one time.

    Parameters
    ----------
    values
        Every parameter, in users' units.
    styles
        The prompts' embeddings; style i has the weight ``weight_<i+1>``.
    names
        The prompts' names.
    """

    values: Mapping[str, float]
    styles: tuple[Style, ...] = ()
    names: tuple[str, ...] = ()


class Knobs:
    """The setting of one session; any thread.

    Parameters
    ----------
    values
        To start with; the others are at their defaults.
    styles
        Of prompts to start with.

    Raises
    ------
    ValueError
        If a name or value is wrong.
    """

    def __init__(self, values: Mapping[str, float] | None = None, styles: Sequence[Style] = ()) -> None:
        self._lock = threading.Lock()
        self._now = Setting(defaults() | self.check(values or {}), tuple(styles))

    @staticmethod
    def check(values: Mapping[str, float]) -> dict[str, float]:
        """Return the values as knobs hold them.

        Raises
        ------
        ValueError
            If one is wrong; the text says which and why.
        """
        return {name: check_value(name, value) for name, value in values.items()}

    def turn(
        self, values: Mapping[str, float], styles: Sequence[Style] | None = None, names: Sequence[str] = ()
    ) -> dict[str, float]:
        """Change values, all or none, and styles with their names if they are given; return all values."""
        checked = self.check(values)
        with self._lock:
            now = self._now
            prompts = (now.styles, now.names) if styles is None else (tuple(styles), tuple(names))
            self._now = Setting({**now.values, **checked}, *prompts)
            return dict(self._now.values)

    @property
    def now(self) -> Setting:
        """The present setting."""
        return self._now


class Steering:
    """What the knobs mean, step by step; one thread.

    Parameters
    ----------
    knobs
        Looked at once a step.
    spec
        Of the model.
    """

    def __init__(self, knobs: Knobs, spec: StreamSpec) -> None:
        self._knobs = knobs
        self._spec = spec
        self._setting = knobs.now
        self._weights: tuple[float, ...] = ()
        self._live: Style | None = None
        self._next_live: Style | None = None
        self._style: Style | None = None
        self._gain = 0.0
        self.settle()

    def settle(self) -> None:
        """Let everything be at once as the knobs say: nothing glides from what was before."""
        self._setting = self._knobs.now
        self._live = self._next_live = None
        self._aim(self._wanted())
        self._gain = self._volume()

    def controls(
        self, clock: Clock | None = None, notes: frozenset[int] | None = None, live: Style | None = None
    ) -> Controls:
        """Return what steers the next step, and go on by a step; `live` is the style of the input, if it is known."""
        before, self._setting = self._setting, self._knobs.now
        most, most_live = (self._spec.step_seconds / spread for spread in (_WEIGHTS_S, _LIVE_S))
        moves = self._follow(live, min(most_live, 1.0))
        wanted = self._wanted()
        if before.styles is not self._setting.styles:
            self._aim(wanted)
        elif moves or wanted != self._weights:
            paces = (*[most] * (len(wanted) - 1), most_live)
            parts = zip(self._weights, wanted, paces, strict=True)
            self._aim(tuple(now + max(-pace, min(pace, then - now)) for now, then, pace in parts))
        values = self._setting.values
        return Controls(
            style=self._style,
            temperature=values["temperature"],
            top_k=int(values["top_k"]),
            guidance=values["guidance"],
            hear=values["hear"] >= 0.5,
            input_gain=linear(values["input_gain"], PARAMETERS["input_gain"].minimum),
            feedback=values["feedback"],
            clock=clock,
            follow=values["follow"] >= 0.5,
            notes=notes,
            drums=None if values["drums"] < 0 else values["drums"] > 0,
            energy=_asked(values, "energy"),
            density=_asked(values, "density"),
        )

    def with_volume(self, audio: Audio) -> Audio:
        """Return a step's audio at the volume's level; a change takes 20 ms. At 0 dB samples stay as they are."""
        before, after = self._gain, self._volume()
        self._gain = after
        if before == after == 1.0:
            return audio
        gain = np.full((len(audio), 1), after, np.float32)
        count = min(round(_VOLUME_S * self._spec.sample_rate), len(audio))
        gain[:count, 0] = before + (after - before) * (np.arange(count) + 1.0) / max(count, 1)
        return audio * gain

    def _wanted(self) -> tuple[float, ...]:
        """Return the weights of the prompts and, last, of the input's style."""
        values = self._setting.values
        weights = (values[f"weight_{number}"] for number in range(1, len(self._setting.styles) + 1))
        return (*weights, 0.0 if self._next_live is None else values["live_style"])

    def _follow(self, live: Style | None, share: float) -> bool:
        """Let the input's style go towards what it is now by a share of the way; return whether it moves."""
        self._next_live = live
        if live is None:
            if not self._weights[-1]:
                self._live = None
            return False
        if self._live is None or live is self._live:
            self._live = live
            return False
        way = live - self._live
        self._live = live if np.abs(way).max() < _NEAR else self._live + np.float32(share) * way
        return True

    def _aim(self, weights: tuple[float, ...]) -> None:
        self._weights = weights
        if not any(weights):
            self._style = None
            return
        styles = self._setting.styles
        if self._live is None:
            weights = weights[:-1]
        else:
            styles = (*styles, self._live)
        try:
            self._style = blend(styles, weights)
        except ValueError:
            # opposite styles cancel at one point of a glide: the style of the step before goes on
            if self._style is None:
                self._style = styles[int(np.argmax(weights))]

    def _volume(self) -> float:
        return linear(self._setting.values["volume"], PARAMETERS["volume"].minimum)
