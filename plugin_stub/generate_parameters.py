"""Writes ``source/Parameters.inc``, the plugin's table of parameters, from the engine's: run it after changing that.

The engine's parameters come first, in the order that hosts show; then what the plugin does by itself.
"""

import sys
from pathlib import Path

from jackdaw.engine.parameters import PARAMETERS, Parameter, toggle

__all__ = ["table"]

_LOCAL = (  # applied in the plugin, sample by sample; never sent to the engine
    Parameter(
        name="mix",
        minimum=0,
        maximum=100,
        default=100,
        unit="%",
        help="share of the music in the output; the rest is the input, delayed to fit",
    ),
    toggle("mute", False, "silence the output"),
    toggle("reset", False, "going on: the model forgets what it played and starts from the seed"),
    toggle("bypass", False, "the input alone, delayed to fit"),
)
_APPLIED_HERE = {"volume"}  # the engine has it, too, and keeps its default
_FIRST = tuple(f"weight_{number}" for number in range(1, 7))
_COARSE = {"dB": 0.01, "%": 0.01}  # steps by unit; values are whole multiples of the step
_FINE = 0.001


def _float(value: float) -> str:
    text = f"{value:.6g}"
    return f"{text}F" if "." in text else f"{text}.0F"


def _row(parameter: Parameter, engine: bool) -> str:
    step = 1.0 if parameter.integer else _COARSE.get(parameter.unit, _FINE)
    label = parameter.name.replace("_", " ").capitalize()
    numbers = (parameter.minimum, parameter.maximum, parameter.default, step)
    fields = [
        f'"{parameter.name}"',
        f'"{label}"',
        *map(_float, numbers),
        f'"{parameter.unit}"',
        f"Taper::{parameter.taper}",
        str(engine).lower(),
        f'"{parameter.help}"',
    ]
    return f"    {{{', '.join(fields)}}},"


def table() -> str:
    """Return the whole text of the file."""
    names = [*_FIRST, *(name for name in PARAMETERS if name not in _FIRST)]
    rows = [_row(PARAMETERS[name], name not in _APPLIED_HERE) for name in names]
    rows += [_row(parameter, False) for parameter in _LOCAL]
    head = "// Written by generate_parameters.py from the engine's table: change that one.\n"
    columns = "// name, label, minimum, maximum, default, step, unit, taper, sent to the engine, help\n"
    return head + columns + "\n".join(rows) + "\n"


if __name__ == "__main__":
    target = Path(__file__).parent / "source" / "Parameters.inc"
    target.write_text(table(), encoding="utf-8")
    sys.stdout.write(f"{target}: {len(table().splitlines()) - 2} parameters\n")
