"""What an OSC address of a session asks for, as the request that the control protocol has for it.

Only the form is changed here, numbers to the types that a field takes; what may be asked, with which values, the
protocol checks as it does for everybody.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jackdaw.engine.parameters import PARAMETERS

__all__ = ["ACTIONS", "Action", "request_of", "whole"]

_SHORT_MIDI = (0xC, 0xD)
"""Upper halves of the status bytes of MIDI messages that have one data byte: program change, channel pressure."""


@dataclass(frozen=True)
class Action:
    """What can be done to a session beside setting parameters.

    Parameters
    ----------
    types
        Of the arguments, as OSC writes them.
    help
        One line for users.
    fields
        Returns the fields of the request from the arguments.
    """

    types: str
    help: str
    fields: Callable[[Sequence[Any]], dict[str, Any]]


def request_of(session: str, name: str, given: Sequence[Any]) -> dict[str, Any]:
    """Return the request that a message to ``/jackdaw/SESSION/NAME`` stands for; ``id`` and ``v`` are the caller's.

    Raises
    ------
    ValueError
        If there is no such name, or the arguments are not what it takes.
    """
    if name in PARAMETERS:
        if not given:
            return {"op": "attach", "session": session}
        return {"op": "set", "session": session, "values": {name: _numbers(given, 1, 1)[0]}}
    if name not in ACTIONS:
        raise ValueError(f"no {name[:60]!r}; there are: {', '.join(ACTIONS)}, {', '.join(PARAMETERS)}")
    return {"op": name, "session": session, **ACTIONS[name].fields(given)}


def whole(value: float) -> int:
    """Return a number as a whole one; touch surfaces send whole numbers as floats.

    Raises
    ------
    ValueError
        If it is not whole.
    """
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(f"{value:g} is not a whole number")
    return int(value)


def _numbers(given: Sequence[Any], least: int, most: int) -> list[float]:
    """Return the arguments as numbers, true as 1, false as 0."""
    if not least <= len(given) <= most or not all(isinstance(value, bool | int | float) for value in given):
        count = f"{least}" if least == most else f"{least} to {most}"
        raise ValueError(f"takes {count} of numbers, true and false, not {str(list(given))[:100]}")
    return [int(value) if isinstance(value, bool) else value for value in given]


def _prompt(given: Sequence[Any]) -> dict[str, Any]:
    prompts: list[dict[str, Any]] = []
    for item in given:
        if isinstance(item, str):
            prompts.append({"text": item})
        elif prompts and "weight" not in prompts[-1]:
            prompts[-1]["weight"] = item
        else:
            raise ValueError("takes texts, each maybe with a weight after it")
    if not prompts:
        raise ValueError("takes at least one text")
    return {"prompts": prompts}


def _reset(given: Sequence[Any]) -> dict[str, Any]:
    return {"seed": whole(_numbers(given, 1, 1)[0])} if given else {}


def _notes(given: Sequence[Any]) -> dict[str, Any]:
    if given and all(isinstance(item, tuple) for item in given):
        messages = [item[1:] for item in given]
    else:
        numbers = [whole(number) for number in _numbers(given, 3, 3)]
        messages = [tuple(numbers)]
    if not all(0 <= number <= 255 for message in messages for number in message):
        raise ValueError("takes MIDI messages (m), or status, data 1 and data 2, of 0 to 255")
    return {"messages": [bytes(item[: 2 if item[0] >> 4 in _SHORT_MIDI else 3]) for item in messages]}


def _transport(given: Sequence[Any]) -> dict[str, Any]:
    bpm, beat, beats_per_bar, rolling = _numbers(given, 4, 4)
    return {"bpm": bpm, "beat": beat, "beats_per_bar": whole(beats_per_bar), "rolling": bool(rolling)}


def _tap(given: Sequence[Any]) -> dict[str, Any]:
    return {"beats_per_bar": whole(_numbers(given, 1, 1)[0])} if given else {}


ACTIONS = {
    "prompt": Action("sf", "replace the prompts: a text, maybe its weight of 0 to 1, the next text, ...", _prompt),
    "reset": Action("i", "forget what was played; maybe from this seed", _reset),
    "notes": Action("iii", "MIDI: status, data 1, data 2; or any number of m", _notes),
    "transport": Action("ffiT", "beats per minute, beat in the bar from 0, beats per bar, rolling", _transport),
    "tap": Action("i", "a beat is now; maybe how many a bar has", _tap),
}
"""By their names in addresses, which are the operations' names."""
