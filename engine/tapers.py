"""A knob's travel and its value: how 0..1 maps to a parameter's range and back."""

import math

from jackdaw.engine.parameters import Parameter

__all__ = ["position_of", "value_at"]


def value_at(parameter: Parameter, position: float) -> float:
    """Return the value at a position of the knob.

    Parameters
    ----------
    parameter
        Its taper and range count: ``linear``, ``log``, or ``toggle`` (the upper half is on).
    position
        0..1.
    """
    low, high = parameter.minimum, parameter.maximum
    if parameter.taper == "toggle":
        return high if position >= 0.5 else low
    value = low * (high / low) ** position if parameter.taper == "log" else low + (high - low) * position
    value = float(round(value)) if parameter.integer else value
    return min(max(value, low), high)


def position_of(parameter: Parameter, value: float) -> float:
    """Return the position 0..1 of the knob at a value."""
    low, high = parameter.minimum, parameter.maximum
    if parameter.taper == "log":
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)
