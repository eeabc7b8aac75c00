"""The parameter tree: every knob once, with name, range, default, unit and taper.

The command line, the control socket and every later surface (plugin, MIDI, OSC, web) read this table; none keeps a list
of its own.
"""

import math
from dataclasses import dataclass

__all__ = ["MAX_PROMPTS", "PARAMETERS", "Parameter", "check_value", "defaults", "toggle"]

MAX_PROMPTS = 6
"""Prompts of one session; prompt i has the parameter ``weight_i``, from 1."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One knob.

    Parameters
    ----------
    name
        Lower-case, words joined by underscores.
    minimum, maximum, default
        In `unit`.
    unit
        As shown to a user; empty if it has none.
    taper
        ``linear``, ``log`` or ``toggle``: how a knob's travel maps to the value.
    integer
        Whether values are rounded to whole numbers.
    help
        One line for users.
    """

    name: str
    minimum: float
    maximum: float
    default: float
    unit: str = ""
    taper: str = "linear"
    integer: bool = False
    help: str = ""


def toggle(name: str, default: bool, help: str) -> Parameter:
    """Return a parameter that is on, 1, or off, 0."""
    return Parameter(name=name, minimum=0, maximum=1, default=int(default), taper="toggle", integer=True, help=help)


PARAMETERS: dict[str, Parameter] = {
    p.name: p
    for p in (
        Parameter(
            name="temperature",
            minimum=0.0,
            maximum=4.0,
            default=1.0,
            help="how freely the model chooses; 0 = always the likeliest",
        ),
        Parameter(
            name="top_k",
            minimum=1,
            maximum=1024,
            default=50,
            taper="log",
            integer=True,
            help="codes to choose from, per level",
        ),
        Parameter(name="guidance", minimum=0.0, maximum=10.0, default=0.0, help="how strongly the style is followed"),
        Parameter(
            name="drums",
            minimum=-1,
            maximum=1,
            default=-1,
            integer=True,
            help="1 = with drums, 0 = without, -1 = as the model likes",
        ),
        Parameter(
            name="energy",
            minimum=-60.0,
            maximum=0.0,
            default=-60.0,
            unit="dB",
            help="how loud the music is to be played; -60 = as the model likes",
        ),
        Parameter(
            name="density",
            minimum=0.0,
            maximum=40.0,
            default=0.0,
            unit="notes/s",
            help="how many notes are to begin in a second; 0 = as the model likes",
        ),
        toggle("hear", True, "let the input into the context"),
        Parameter(
            name="input_gain",
            minimum=-60.0,
            maximum=12.0,
            default=0.0,
            unit="dB",
            help="level of the input as heard",
        ),
        Parameter(
            name="feedback",
            minimum=0.0,
            maximum=1.0,
            default=1.0,
            help="share of its own output in what the model hears",
        ),
        Parameter(
            name="gap",
            minimum=0.0,
            maximum=1000.0,
            default=0.0,
            unit="ms",
            help="how much later the input is heard, so that it is answered and not copied",
        ),
        Parameter(
            name="loop_delay",
            minimum=0.0,
            maximum=64.0,
            default=0.0,
            unit="beats",
            help="hear what was played a loop ago, in time with the clock; 0 = at once",
        ),
        toggle("freeze", False, "hear the last loop, or bar, again and again"),
        Parameter(
            name="live_style",
            minimum=0.0,
            maximum=1.0,
            default=0.0,
            help="weight of the style of the last seconds of input, beside the prompts",
        ),
        Parameter(
            name="duck",
            minimum=-40.0,
            maximum=0.0,
            default=0.0,
            unit="dB",
            help="level of the output while the input sounds",
        ),
        Parameter(
            name="intro",
            minimum=0,
            maximum=8,
            default=0,
            unit="bars",
            integer=True,
            help="listen for so many bars when the clock starts, then come in",
        ),
        Parameter(
            name="volume",
            minimum=-60.0,
            maximum=12.0,
            default=0.0,
            unit="dB",
            help="output level; -60 is silence",
        ),
        toggle("chords", True, "chords played on the keyboard lead"),
        toggle("follow", True, "chords that are heard in the input lead, unless the keyboard does"),
        *(
            Parameter(
                name=f"weight_{number}",
                minimum=0.0,
                maximum=1.0,
                default=1.0,
                help=f"weight of prompt {number}; only proportions matter",
            )
            for number in range(1, MAX_PROMPTS + 1)
        ),
    )
}


def defaults() -> dict[str, float]:
    """Return every parameter's default, by name."""
    return {name: p.default for name, p in PARAMETERS.items()}


def check_value(name: str, value: float) -> float:
    """Return `value` as the parameter holds it.

    Raises
    ------
    ValueError
        If there is no such parameter, or the value is not a finite number in its range; the text says which are.
    """
    parameter = PARAMETERS.get(name)
    if parameter is None:
        raise ValueError(f"no parameter named {name!r}; there are: {', '.join(PARAMETERS)}")
    if isinstance(value, str) or not math.isfinite(value) or not parameter.minimum <= value <= parameter.maximum:
        raise ValueError(
            f"{name} = {value!r} is out of range; give a number from {parameter.minimum:g} to {parameter.maximum:g}"
            f"{' ' + parameter.unit if parameter.unit else ''}"
        )
    return float(round(value)) if parameter.integer else float(value)
