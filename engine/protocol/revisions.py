"""What was applied already: per session, client and operation, the last revision and its reply.

Used by the server's two threads; one key is always used by the same one, since an operation is always done on one
thread.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["CLIENTS", "Revisions"]

CLIENTS = 64
"""Clients and operations that are remembered per session; the ones that asked longest ago are forgotten first."""


class Revisions:
    """The memory of all sessions; it ends with each of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: WeakKeyDictionary[Any, OrderedDict[tuple[str, str], tuple[int, Mapping[str, Any]]]]
        self._of = WeakKeyDictionary()

    def reply(self, session: Any, client: str, op: str, revision: int) -> Mapping[str, Any] | None:
        """Return the reply to the last one applied, if `revision` is not newer; else None."""
        with self._lock:
            known = self._of.get(session, OrderedDict()).get((client, op))
        return None if known is None or revision > known[0] else known[1]

    def note(self, session: Any, client: str, op: str, revision: int, reply: Mapping[str, Any]) -> None:
        """Remember that `revision` was applied, and what was replied."""
        with self._lock:
            kept = self._of.setdefault(session, OrderedDict())
            kept[client, op] = (revision, reply)
            kept.move_to_end((client, op))
            while len(kept) > CLIENTS:
                kept.popitem(last=False)
