"""What may be asked: decoding and strict checking of one message, before anything is done.

:func:`parse` turns bytes into a :class:`Request` whose fields have the types and ranges that docs/protocol.md gives, or
raises a :class:`ControlError` with the error code of the reply. What only the session can know (names of parameters,
the length of an embedding) is checked by the session, before it changes anything.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack

from jackdaw.engine.protocol import fields
from jackdaw.engine.protocol.fields import BadFieldError

__all__ = ["MAX_MESSAGE", "OPERATIONS", "VERSION", "ControlError", "Operation", "Request", "number_of", "parse"]

VERSION = 1
MAX_MESSAGE = 1 << 20
"""Bytes of a request."""


class ControlError(RuntimeError):
    """A request that is refused, or an engine that does not answer; the message says why and what to do.

    Parameters
    ----------
    text
        For the user.
    code
        One of the protocol's error codes; ``no answer`` and ``unsafe`` are the client's own.
    """

    def __init__(self, text: str, code: str = "no answer") -> None:
        super().__init__(text)
        self.code = code


Check = Callable[[object], Any]


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation.

    Parameters
    ----------
    needs, takes
        Fields that must, and that may be given: how each is checked.
    session
        Whether it is asked of a session.
    changes
        Whether it changes the session, so that a revision makes it happen once.
    slow
        Whether it may take long; it is then done on the worker's thread.
    """

    needs: Mapping[str, Check] = field(default_factory=dict)
    takes: Mapping[str, Check] = field(default_factory=dict)
    session: bool = True
    changes: bool = False
    slow: bool = False

    def names(self) -> list[str]:
        """Return the fields that it knows, those of every request aside."""
        return [*(["session"] if self.session else []), *self.needs, *self.takes]


OPERATIONS: dict[str, Operation] = {
    "hello": Operation(session=False),
    "models": Operation(session=False),
    "tree": Operation(session=False),
    "list": Operation(session=False),
    "open": Operation(
        takes={
            "model": fields.model,
            "seed": fields.seed,
            "hear": fields.hear,
            "floor_ms": fields.floor_ms,
            "ceiling_ms": fields.ceiling_ms,
            "lease_s": fields.lease_s,
        },
        slow=True,
    ),
    "attach": Operation(),
    "close": Operation(slow=True),
    "prompt": Operation(needs={"prompts": fields.prompts}, changes=True, slow=True),
    "set": Operation(needs={"values": fields.values}, changes=True),
    "reset": Operation(
        takes={"seed": fields.seed, "epoch": fields.flag, "at_bar": fields.flag}, changes=True, slow=True
    ),
    "preset": Operation(needs={"path": fields.source}, changes=True, slow=True),
    "notes": Operation(needs={"messages": fields.messages}, changes=True),
    "transport": Operation(
        needs={
            "bpm": fields.bpm,
            "beat": fields.beat,
            "beats_per_bar": fields.beats_per_bar,
            "rolling": fields.flag,
        },
        changes=True,
    ),
    "tap": Operation(takes={"beats_per_bar": fields.beats_per_bar}, changes=True),
    "mark": Operation(needs={"text": fields.mark}, takes={"ahead": fields.flag}, changes=True),
    "state_get": Operation(takes={"snapshot": fields.snapshot, "offset": fields.offset}, slow=True),
    "state_set": Operation(
        needs={
            "size": fields.state_size,
            "offset": fields.offset,
            "data": fields.part,
            "model_hash": fields.model_hash,
        },
        changes=True,
        slow=True,
    ),
    "record": Operation(takes={"path": fields.recording}, changes=True, slow=True),
    "listen": Operation(takes={"path": fields.source}, changes=True, slow=True),
    "status": Operation(),
    "controllers": Operation(
        takes={"parameter": fields.text, "controller": fields.controller}, session=False, slow=True
    ),
    "stop": Operation(session=False),
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request as it should be.

    Parameters
    ----------
    number
        ``id``.
    op
        A name in :data:`OPERATIONS`.
    session
        Of a session's operation; else empty.
    client, revision
        Who asks and the number of the change; empty and 0 if not given.
    fields
        What the operation takes, checked; fields that were not given are missing.
    """

    number: int
    op: str
    session: str = ""
    client: str = ""
    revision: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def operation(self) -> Operation:
        """What is asked for."""
        return OPERATIONS[self.op]


def _once(pairs: list[tuple[object, object]]) -> dict[object, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a map names a field twice")
    return result


def decode(payload: bytes) -> dict[str, Any]:
    """Return the map that a message is."""
    if len(payload) > MAX_MESSAGE:
        raise ControlError(f"message of {len(payload)} bytes; at most {MAX_MESSAGE} are taken", "too large")
    try:
        message = msgpack.unpackb(payload, object_pairs_hook=_once)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise ControlError(f"not a msgpack message: {error or type(error).__name__}", "malformed") from error
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise ControlError("a message is a map with text keys: v, id, op and what the op takes", "malformed")
    return message


def number_of(message: Mapping[str, Any]) -> int:
    """Return a message's ``id``, 0 if it has none that can be sent back."""
    number = message.get("id")
    return number if type(number) is int else 0


def parse(message: Mapping[str, Any]) -> Request:
    """Check a decoded message.

    Raises
    ------
    ControlError
        If it is not a request as the protocol has it; the code and text say why.
    """
    version = message.get("v")
    if type(version) is not int or version != VERSION:
        raise ControlError(f"'v' is {fields.shown(version)}; this engine speaks version {VERSION}", "version")
    try:
        number = _given(message, "id", fields.whole)
        op = _given(message, "op", fields.text)
        if op not in OPERATIONS:
            raise ControlError(f"no op {fields.shown(op)}; there are: {', '.join(OPERATIONS)}", "unknown op")
        operation = OPERATIONS[op]
        known = operation.names()
        for name in message:
            if name not in known and name not in {"v", "id", "op", "client", "rev"}:
                raise ControlError(
                    f"unknown field {fields.shown(name)}; {op} takes {', '.join(known) or 'nothing'}", "bad value"
                )
        session = _given(message, "session", fields.name) if operation.session else ""
        client = _given(message, "client", fields.client) if "client" in message else ""
        revision = _given(message, "rev", fields.revision) if "rev" in message else 0
        if revision and not client:
            raise ControlError("'rev' is given without 'client': say who counts", "bad value")
        given = {name: _given(message, name, check) for name, check in operation.needs.items()}
        given |= {name: _given(message, name, check) for name, check in operation.takes.items() if name in message}
    except BadFieldError as error:
        raise ControlError(str(error), "bad value") from error
    return Request(number=number, op=op, session=session, client=client, revision=revision, fields=given)


def _given(message: Mapping[str, Any], name: str, check: Check) -> Any:
    if name not in message:
        raise ControlError(f"field {name!r} is missing", "bad value")
    try:
        return check(message[name])
    except BadFieldError as error:
        raise BadFieldError(f"{name!r} {error}") from None
