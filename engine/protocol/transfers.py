"""States on their way: snapshots that clients fetch part by part, and blobs that come in part by part.

Used by the server's worker alone. Memory is bounded: two snapshots a session, and four blobs on their way in.
"""

import itertools
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, ref

from jackdaw.engine.protocol.messages import ControlError

__all__ = ["PART", "Snapshots", "Uploads"]

PART = 512 << 10
"""Bytes of a state in one reply."""

_SNAPSHOTS = 2
_UPLOADS = 4


@dataclass(frozen=True)
class _Snapshot:
    data: bytes
    model: str
    model_hash: str


class Snapshots:
    """The newest snapshots of each session; they end with it."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[Any, OrderedDict[int, _Snapshot]] = WeakKeyDictionary()
        self._numbers = itertools.count(1)

    def take(self, session: Any) -> int:
        """Save the state of a session; return the number of the snapshot."""
        kept = self._of.setdefault(session, OrderedDict())
        number = next(self._numbers)
        kept[number] = _Snapshot(session.save_state(), session.model_name, session.model_hash)
        while len(kept) > _SNAPSHOTS:
            kept.popitem(last=False)
        return number

    def part(self, session: Any, number: int, offset: int) -> dict[str, Any]:
        """Return a part of a snapshot, as the reply has it."""
        snapshot = self._of.get(session, OrderedDict()).get(number)
        if snapshot is None:
            raise ControlError(f"snapshot {number} is gone: take a new one, without 'snapshot'", "bad value")
        if offset > len(snapshot.data):
            raise ControlError(f"'offset' is {offset}; the snapshot has {len(snapshot.data)} bytes", "bad value")
        return {
            "snapshot": number,
            "size": len(snapshot.data),
            "offset": offset,
            "data": snapshot.data[offset : offset + PART],
            "model": snapshot.model,
            "model_hash": snapshot.model_hash,
        }


@dataclass
class _Upload:
    session: "ref[Any]"
    size: int
    data: bytearray


class Uploads:
    """Blobs of which parts have come, by who sends them."""

    def __init__(self) -> None:
        self._parts: OrderedDict[tuple[str, object], _Upload] = OrderedDict()

    def add(self, session: Any, sender: object, size: int, offset: int, data: bytes) -> bytes | None:
        """Take one part; return the whole blob once it is there.

        Parameters
        ----------
        session
            Whose state it will be.
        sender
            Tells clients apart.
        size, offset, data
            Of the whole, of this part, and the part itself.

        Raises
        ------
        ControlError
            If the part does not follow the one before; send it all anew then.
        """
        if not data or offset + len(data) > size:
            raise ControlError(f"'data' has {len(data)} bytes at {offset} of {size}: give 1 to the rest", "bad value")
        key = (session.name, sender)
        upload = _Upload(ref(session), size, bytearray())
        if offset > 0:
            found = self._parts.get(key)
            if found is None or found.session() is not session or found.size != size or len(found.data) != offset:
                raise ControlError(f"'offset' {offset} does not follow what came before: begin again at 0", "bad value")
            upload = found
        upload.data += data
        if len(upload.data) == size:
            self._parts.pop(key, None)
            return bytes(upload.data)
        self._parts[key] = upload
        self._parts.move_to_end(key)
        while len(self._parts) > _UPLOADS:
            self._parts.popitem(last=False)
        return None
