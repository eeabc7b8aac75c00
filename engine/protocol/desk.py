"""Whose turn it is: order, limits, and the worker for what takes long.

The control thread gives every message to :meth:`Desk.take`. A connection's requests are answered in order: while the
worker has one of them, the next ones wait, and other connections' go on. Everything is bounded: requests per second,
requests that wait per connection, requests on the worker's queue, connections remembered.
"""

import os
import queue
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from jackdaw.engine.protocol.messages import ControlError, Request, decode, number_of, parse

__all__ = ["BURST", "PER_SECOND", "Desk"]

PER_SECOND = 200
"""Requests a second that a connection may go on making."""

BURST = 400
"""Requests that it may make at once."""

_WAITING = BURST
_QUEUE = 64
_CONNECTIONS = 1024
_PEEK = 4096


@dataclass
class _Connection:
    key: object
    tokens: float = float(BURST)
    seen: float = 0.0
    busy: bool = False
    waiting: "deque[bytes | Request]" = field(default_factory=deque)


class Desk:
    """Answers in order. :meth:`take` and :meth:`finish` on the control thread.

    Parameters
    ----------
    answer
        Does what a request asks for and returns the packed reply; called on the control thread, or for slow operations
        on the worker's.
    refuse
        Returns the packed error reply of (number, code, text).
    send
        Sends a reply to a connection.
    """

    def __init__(
        self,
        answer: Callable[[Request, object], bytes],
        refuse: Callable[[int, str, str], bytes],
        send: Callable[[object, bytes], None],
    ) -> None:
        self._answer = answer
        self._refuse = refuse
        self._send = send
        self._connections: OrderedDict[object, _Connection] = OrderedDict()
        self._jobs: queue.Queue[tuple[_Connection, Request] | None] = queue.Queue(_QUEUE)
        self._done: deque[tuple[_Connection, bytes]] = deque()
        self.wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        """Readable when :meth:`finish` has something to do."""
        self._worker = threading.Thread(target=self._work, name="control worker", daemon=True)
        self._worker.start()

    def take(self, key: object, payload: bytes | None) -> None:
        """Take one message; None stands for one that has not one frame."""
        connection = self._known(key)
        if connection.tokens < 1.0 or len(connection.waiting) >= _WAITING:
            self._send(key, self._refuse(_peek(payload), "too fast", f"more than {PER_SECOND} requests a second"))
            return
        connection.tokens -= 1.0
        asked = self._checked(payload)
        if connection.busy:
            connection.waiting.append(asked)
        else:
            self._go_on(connection, asked)

    def finish(self) -> None:
        """Send what the worker has done, and go on with those who waited for it."""
        os.eventfd_read(self.wake)
        while self._done:
            connection, reply = self._done.popleft()
            self._send(connection.key, reply)
            connection.busy = False
            while connection.waiting and not connection.busy:
                self._go_on(connection, connection.waiting.popleft())

    def close(self) -> None:
        """End the worker; what waits for it is not done."""
        while True:
            try:
                self._jobs.get_nowait()
            except queue.Empty:
                break
        self._jobs.put(None)
        self._worker.join()
        os.close(self.wake)

    def _known(self, key: object) -> _Connection:
        now = time.monotonic()
        connection = self._connections.pop(key, None) or _Connection(key, seen=now)
        self._connections[key] = connection
        connection.tokens = min(float(BURST), connection.tokens + (now - connection.seen) * PER_SECOND)
        connection.seen = now
        while len(self._connections) > _CONNECTIONS:
            self._connections.popitem(last=False)
        return connection

    def _checked(self, payload: bytes | None) -> bytes | Request:
        """Return the request that a message is, or the reply that refuses it."""
        number = 0
        try:
            if payload is None:
                raise ControlError("a request is one frame", "malformed")
            message = decode(payload)
            number = number_of(message)
            return parse(message)
        except ControlError as error:
            return self._refuse(number, error.code, str(error))

    def _go_on(self, connection: _Connection, asked: bytes | Request) -> None:
        if isinstance(asked, bytes):
            self._send(connection.key, asked)
        elif not asked.operation.slow:
            self._send(connection.key, self._answer(asked, connection.key))
        else:
            try:
                self._jobs.put_nowait((connection, asked))
                connection.busy = True
            except queue.Full:
                text = f"{_QUEUE} requests that take long are waiting already; try again"
                self._send(connection.key, self._refuse(asked.number, "too fast", text))

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            connection, request = job
            self._done.append((connection, self._answer(request, connection.key)))
            os.eventfd_write(self.wake, 1)


def _peek(payload: bytes | None) -> int:
    """Return the number of a request that is not looked at further, 0 if that takes long."""
    if payload is None or len(payload) > _PEEK:
        return 0
    try:
        return number_of(decode(payload))
    except ControlError:
        return 0
