"""What a datagram of OSC 1.0 holds: its messages in the order in which they stand, checked before anything is done.

Datagrams are taken apart here, and not by python-osc: that one sorts by time tags, follows sizes below zero without
end, takes a number that is missing for 0, and leaves out arguments of types that it does not know. Time tags are not
waited for: what comes is done at once.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pythonosc.parsing.osc_types import ParseError, get_string

__all__ = ["MAX_DATAGRAM", "Message", "messages_of"]

MAX_DATAGRAM = 16384
"""Bytes of a datagram that is looked at."""

_BUNDLE = b"#bundle\0"
_HEAD = len(_BUNDLE) + 8
_DEPTH = 8
_NUMBERS = {
    kind: struct.Struct(form) for kind, form in (("i", ">i"), ("f", ">f"), ("h", ">q"), ("d", ">d"), ("m", "4B"))
}
_TRUTH = {"T": True, "F": False}


@dataclass(frozen=True)
class Message:
    """One message.

    Parameters
    ----------
    address
        Where it goes.
    given
        Its arguments: int, float, str, bool, or (port, status, data 1, data 2) for MIDI.
    """

    address: str
    given: tuple[Any, ...]


def messages_of(datagram: bytes) -> list[Message]:
    """Return the messages of a datagram, all or none.

    Raises
    ------
    ValueError
        If it is not OSC, longer than :data:`MAX_DATAGRAM`, nested deeper than 8 bundles, or has arguments of other
        types than i f h d s T F m.
    """
    if len(datagram) > MAX_DATAGRAM:
        raise ValueError(f"a datagram is longer than {MAX_DATAGRAM} bytes; send several")
    return list(_parts(datagram, 0))


def _parts(data: bytes, depth: int) -> Iterator[Message]:
    if not data.startswith(_BUNDLE):
        yield _message(data)
        return
    if depth == _DEPTH:
        raise ValueError(f"bundles are nested deeper than {_DEPTH}")
    if len(data) < _HEAD:
        raise ValueError("a bundle ends within its time tag")
    at = _HEAD
    while at < len(data):
        size = struct.unpack_from(">i", data, at)[0] if len(data) - at >= 4 else -1
        at += 4
        if not 0 < size <= len(data) - at:
            raise ValueError("a bundle's element is not as long as it says")
        yield from _parts(data[at : at + size], depth + 1)
        at += size


def _message(data: bytes) -> Message:
    if not data.startswith(b"/"):
        raise ValueError("it begins neither with / nor with #bundle")
    try:
        address, at = get_string(data, 0)
        types, at = get_string(data, at) if at < len(data) else (",", at)
        if not types.startswith(","):
            raise ValueError("the types of its arguments do not begin with a comma")
        given: list[Any] = []
        for kind in types[1:]:
            if kind in _TRUTH:
                given.append(_TRUTH[kind])
            elif kind == "s":
                text, at = get_string(data, at)
                given.append(text)
            elif kind in _NUMBERS:
                values = _NUMBERS[kind].unpack_from(data, at)
                at += _NUMBERS[kind].size
                given.append(values if kind == "m" else values[0])
            else:
                raise ValueError(f"an argument of type {kind!r}; give i f h d s T F or m")
    except (ParseError, struct.error) as error:
        raise ValueError(f"it ends too soon: {error}") from error
    return Message(address, tuple(given))
