"""Checks of single fields: each takes a decoded value and returns it as the engine uses it.

A check raises :class:`BadFieldError` whose text goes on where the field's name ends: "is 9; give ...".
"""

import math
import re
import reprlib
from collections.abc import Callable
from typing import Any

import numpy as np

from jackdaw.engine.controllers import Controller
from jackdaw.engine.prompts import MAX_PROMPTS, Prompt

__all__ = ["MAX_NOTES", "MAX_STATE", "BadFieldError", "shown"]

MAX_STATE = 64 << 20
"""Bytes of a model's state that an engine takes."""

MAX_NOTES = 256
"""MIDI messages in one request."""

_MAX_INT = 2**63 - 1
_NAME = re.compile(r"[a-z0-9-]{1,32}")
_MAX_PATH = 4096
_LENGTHS = {0x8: 3, 0x9: 3, 0xA: 3, 0xB: 3, 0xC: 2, 0xD: 2, 0xE: 3}
"""Bytes of a MIDI channel message, by the upper half of its status byte (MIDI 1.0, table I)."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60


class BadFieldError(ValueError):
    """A field is of a wrong type or out of range."""


def shown(value: object) -> str:
    """Return a value for an error's text: never long, whatever was sent."""
    return _SHORT.repr(value)


def _integer(low: int, high: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise BadFieldError(f"is {shown(value)}; give a whole number from {low} to {high}")
        return value

    return check


def _number(low: float, high: float) -> Callable[[object], float]:
    def check(value: object) -> float:
        if type(value) not in (int, float) or not low <= value <= high:  # type: ignore[operator]
            raise BadFieldError(f"is {shown(value)}; give a number from {low:g} to {high:g}")
        return float(value)  # type: ignore[arg-type]

    return check


def _words(most: int) -> Callable[[object], str]:
    def check(value: object) -> str:
        if type(value) is not str or not 1 <= len(value) <= most:
            raise BadFieldError(f"is {shown(value)}; give text of 1 to {most} characters")
        return value

    return check


def _bytes(most: int) -> Callable[[object], bytes]:
    def check(value: object) -> bytes:
        if type(value) is not bytes or len(value) > most:
            raise BadFieldError(f"is {shown(value)}; give bin of at most {most} bytes")
        return value

    return check


whole = _integer(-(2**63), 2**64 - 1)
text = _words(_MAX_PATH)
client = _words(64)
mark = _words(200)
revision = _integer(1, _MAX_INT)
model = _words(64)
model_hash = _words(128)
seed = _integer(0, _MAX_INT)
floor_ms = _number(20.0, 2000.0)
ceiling_ms = _number(20.0, 10000.0)
lease_s = _number(1.0, 86400.0)
snapshot = _integer(1, _MAX_INT)
offset = _integer(0, MAX_STATE)
state_size = _integer(1, MAX_STATE)
part = _bytes(1 << 20)
bpm = _number(30.0, 300.0)
beats_per_bar = _integer(2, 12)
_beat = _number(0.0, 12.0)
_weight = _number(0.0, 1.0)
_rate = _integer(8000, 192000)
_channels = _integer(1, 2)
_label = _words(200)


def name(value: object) -> str:
    """Check the name of a session."""
    if type(value) is not str or not _NAME.fullmatch(value):
        raise BadFieldError(f"is {shown(value)}; use 1 to 32 of a-z, 0-9 and -")
    return value


def flag(value: object) -> bool:
    """Check yes or no."""
    if type(value) is not bool:
        raise BadFieldError(f"is {shown(value)}; give true or false")
    return value


def hear(value: object) -> str:
    """Check how a session hears."""
    if value not in ("aligned", "newest") or type(value) is not str:
        raise BadFieldError(f"is {shown(value)}; give aligned or newest")
    return value


def beat(value: object) -> float:
    """Check a position in the bar."""
    return _beat(value)


def path(value: object) -> str:
    """Check a path on the engine's machine."""
    if type(value) is not str or not 1 < len(value) <= _MAX_PATH or not value.startswith("/") or "\0" in value:
        raise BadFieldError(f"is {shown(value)}; give an absolute path")
    return value


def recording(value: object) -> str | None:
    """Check the path of a recording, or nil, which ends one."""
    if value is None:
        return None
    if not path(value).endswith(".flac"):
        raise BadFieldError(f"is {shown(value)}; recordings are FLAC, give a path that ends in .flac")
    return path(value)


def source(value: object) -> str | None:
    """Check the path of a sound to hear, or nil, which stands for the input."""
    return None if value is None else path(value)


def values(value: object) -> dict[str, float]:
    """Check a map of parameters; which there are, and their ranges, the session knows."""
    if type(value) is not dict:
        raise BadFieldError(f"is {shown(value)}; give a map of names to numbers")
    for key, number in value.items():
        if type(key) is not str or type(number) not in (int, float) or not math.isfinite(number):
            raise BadFieldError(f"has {shown(key)}: {shown(number)}, which is not a name with a number")
    return {key: float(number) for key, number in value.items()}


def messages(value: object) -> list[bytes]:
    """Check MIDI channel messages."""
    if type(value) is not list or len(value) > MAX_NOTES:
        raise BadFieldError(f"is {shown(value)}; give a list of at most {MAX_NOTES} MIDI messages")
    for message in value:
        if (
            type(message) is not bytes
            or len(message) < 2
            or len(message) != _LENGTHS.get(message[0] >> 4)
            or max(message[1:]) > 127
        ):
            raise BadFieldError(f"has {shown(message)}; give whole channel messages as bin, e.g. 90 3c 64 (hex)")
    return value


def controller(value: object) -> Controller | None:
    """Check a MIDI controller, or nil, which stands for none."""
    if value is None:
        return None
    try:
        return Controller.of_table(value)
    except ValueError as error:
        raise BadFieldError(f"is {shown(value)}; {error}") from None


def prompts(value: object) -> list[Prompt]:
    """Check a list of prompts."""
    if type(value) is not list or len(value) > MAX_PROMPTS:
        raise BadFieldError(f"is {shown(value)}; give a list of at most {MAX_PROMPTS} prompts")
    return [_prompt(item, index) for index, item in enumerate(value)]


_PROMPT: dict[str, Callable[[object], Any]] = {
    "text": _words(1000),
    "audio": path,
    "samples": _bytes(1 << 20),
    "rate": _rate,
    "channels": _channels,
    "weight": _weight,
    "name": _label,
    "embedding": _bytes(1 << 16),
    "model_hash": model_hash,
}


def _prompt(item: object, index: int) -> Prompt:
    if type(item) is not dict:
        raise BadFieldError(f"has {shown(item)} at {index}; a prompt is a map")
    given: dict[str, Any] = {}
    for key, value in item.items():
        if key not in _PROMPT:
            raise BadFieldError(f"has the unknown field {shown(key)} at {index}; there are: {', '.join(_PROMPT)}")
        try:
            given[key] = _PROMPT[key](value)
        except BadFieldError as error:
            raise BadFieldError(f"at {index}: {key!r} {error}") from None
    if len({"text", "audio", "samples"} & set(given)) != 1:
        raise BadFieldError(f"at {index}: give one of text, audio and samples")
    if ("samples" in given) != ("rate" in given) or ("samples" in given) != ("channels" in given):
        raise BadFieldError(f"at {index}: samples come with rate and channels")
    if ("embedding" in given) != ("model_hash" in given):
        raise BadFieldError(f"at {index}: an embedding comes with the model_hash that it was made with")
    channels = given.pop("channels", 1)
    for key, width in (("samples", channels), ("embedding", None)):
        if key in given:
            given[key] = _floats(given[key], width, f"at {index}: {key!r}")
    try:
        return Prompt(**given)
    except ValueError as error:
        raise BadFieldError(f"at {index}: {error}") from error


def _floats(data: bytes, width: int | None, what: str) -> Any:
    """Return bin of float32 (little endian) as an array of shape (n,), or (n, width)."""
    if not data or len(data) % (4 * (width or 1)):
        raise BadFieldError(f"{what} has {len(data)} bytes, which is not a whole number of float32 frames")
    array = np.frombuffer(data, "<f4").astype(np.float32)
    if not np.all(np.isfinite(array)):
        raise BadFieldError(f"{what} holds numbers that are not finite")
    return array if width is None else array.reshape(-1, width)
