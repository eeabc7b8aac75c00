"""Open Sound Control: the parameter tree and the control of sessions over UDP, for pads, tablets and other programs.

One thread owns the socket. Every message to a session becomes a request of the control protocol, on a
:class:`~jackdaw.engine.protocol.desk.Desk` of its own with the operations of all: the same checks, limits and order,
each sender being a connection. Loopback alone: OSC knows no keys. Addresses::

    /jackdaw/SESSION/PARAMETER [f]                    set; without a value: ask, and get the same address with the value
    /jackdaw/SESSION/prompt, reset, notes, ...        see osc_requests
    /jackdaw/subscribe [i], /jackdaw/unsubscribe [i]  values go to the sender, or that port of it, for 60 s

What cannot be done is answered by ``/error`` with the address and a text, and changes nothing. ``/error`` itself is
never answered, so that two programs do not answer each other without end.
"""

import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
from pythonosc.osc_message_builder import build_msg

from jackdaw.engine.host import Host, HostError
from jackdaw.engine.parameters import PARAMETERS
from jackdaw.engine.protocol.desk import Desk
from jackdaw.engine.protocol.messages import VERSION
from jackdaw.engine.protocol.operations import Caller, Operations, refusal
from jackdaw.engine.protocol.osc_packets import MAX_DATAGRAM, Message, messages_of
from jackdaw.engine.protocol.osc_requests import request_of, whole
from jackdaw.engine.session import Session
from jackdaw.log import Log

__all__ = ["LEVELS", "LOOPBACK", "OscServer", "value_of"]

LOOPBACK = "127.0.0.1"

LEVELS = {"level_out": "out", "level_in": "in"}
"""What subscribers are told ten times a second, in dBFS, left and right: by its address, the name in the telemetry."""

_LOOK_S = 0.05
_LEVELS_S = 0.1
_REST_S = 0.01
_BATCH = 64
_KEPT_S = 60.0
_SUBSCRIBERS = 16
_TEXT = 1000

Address = tuple[str, int]


@dataclass(frozen=True)
class _Asked:
    """What a request was made of."""

    address: str
    given: tuple[Any, ...]
    session: str
    name: str


@dataclass
class _Subscriber:
    """Until when it is told, and who asked for it: what that one set itself is not told again."""

    until: float
    source: Address


def value_of(name: str, value: float) -> float:
    """Return the value of a parameter as OSC has it: whole ones as int."""
    return int(value) if PARAMETERS[name].integer else value


class OscServer:
    """See the module.

    Parameters
    ----------
    host
        Of the sessions.
    operations
        What can be done with them.
    port
        UDP, on loopback; 0 takes any that is free.
    log
        Where breakdowns go.

    Raises
    ------
    OSError
        If the port is taken.
    """

    def __init__(self, host: Host, operations: Operations, port: int, *, log: Log) -> None:
        self._host = host
        self._log = log
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((LOOPBACK, port))
        except OSError as error:
            self._socket.close()
            raise OSError(f"OSC: port {port} on {LOOPBACK} is not free: {error.strerror}; give another") from error
        self._socket.setblocking(False)
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._subscribers: dict[Address, _Subscriber] = {}
        self._told: dict[str, dict[str, float]] = {}
        self._set_by: dict[tuple[str, str], tuple[Address, float]] = {}
        self._number = 0
        self._asked: dict[int, _Asked] = {}
        self._desk = Desk(lambda request, key: operations.answer(request, Caller(key, "")), refusal, self._replied)
        self._thread = threading.Thread(target=self._run, name="osc", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        os.eventfd_write(self._stop, 1)
        if self._thread.ident is not None:
            self._thread.join()
        self._desk.close()
        self._socket.close()
        os.close(self._stop)

    # ---- the thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # the music goes on without OSC
            self._log.warning("osc has broken down", error=repr(error))
            raise

    def _serve(self) -> None:
        poller = select.poll()
        for file in (self._socket.fileno(), self._desk.wake, self._stop):
            poller.register(file, select.POLLIN)
        look_due = levels_due = 0.0
        while True:
            ready = {file for file, _ in poller.poll(_LOOK_S * 1e3 if self._subscribers else None)}
            if self._stop in ready:
                return
            if self._desk.wake in ready:
                self._desk.finish()
            flooded = self._socket.fileno() in ready and self._receive()
            now = time.monotonic()
            if now >= look_due:
                look_due = now + _LOOK_S
                self._tell_changes(now)
            if now >= levels_due:
                levels_due = now + _LEVELS_S
                self._tell_levels()
            if flooded:
                time.sleep(_REST_S)  # what comes faster than this fills the socket, and is dropped there

    def _receive(self) -> bool:
        """Do what has come; return whether there may be more."""
        for _ in range(_BATCH):
            try:
                datagram, sender = self._socket.recvfrom(MAX_DATAGRAM + 1)
            except BlockingIOError:
                return False
            try:
                messages = messages_of(datagram)
            except ValueError as error:
                self._send(sender, "/error", "", f"this is no OSC: {error}"[:_TEXT])
                continue
            for message in messages:
                try:
                    self._take(message, sender)
                except ValueError as error:
                    self._send(sender, "/error", message.address[:_TEXT], str(error)[:_TEXT])
        return True

    def _take(self, message: Message, sender: Address) -> None:
        match message.address.split("/"):
            case ["", "error"]:
                return
            case ["", "jackdaw", "subscribe"]:
                self._subscribe(self._listener(message, sender), sender)
            case ["", "jackdaw", "unsubscribe"]:
                self._subscribers.pop(self._listener(message, sender), None)
            case ["", "jackdaw", session, name]:
                request = request_of(session, name, message.given)
                self._number += 1
                self._asked[self._number] = _Asked(message.address, message.given, session, name)
                payload = msgpack.packb({"v": VERSION, "id": self._number, **request})
                self._desk.take(sender, payload)
            case _:
                raise ValueError("addresses are /jackdaw/SESSION/NAME, /jackdaw/subscribe and /jackdaw/unsubscribe")

    def _replied(self, key: Any, reply: bytes) -> None:
        answer = msgpack.unpackb(reply)
        number = answer["id"] or self._number  # long requests that come too fast are refused at once, unread
        asked = self._asked.pop(number)
        if not answer["ok"]:
            self._send(key, "/error", asked.address[:_TEXT], answer["error"]["text"])
        elif asked.name in PARAMETERS and not asked.given:
            self._send(key, asked.address, value_of(asked.name, answer["values"][asked.name]))
        elif asked.name in PARAMETERS and self._subscribers:
            self._set_by[asked.session, asked.name] = key, float(asked.given[0])

    # ---- subscribers ---------------------------------------------------------------------------------------

    def _listener(self, message: Message, sender: Address) -> Address:
        """Return where what is told is to go."""
        if not message.given:
            return sender
        port = message.given[0]
        if len(message.given) > 1 or not isinstance(port, int | float) or not 1 <= whole(port) <= 65535:
            raise ValueError("takes a port, 1 to 65535, or nothing")
        return sender[0], whole(port)

    def _subscribe(self, who: Address, source: Address) -> None:
        if who == (LOOPBACK, self.port):
            raise ValueError(f"port {self.port} is the engine's own")
        known = who in self._subscribers
        if not known and len(self._subscribers) >= _SUBSCRIBERS:
            raise ValueError(f"{_SUBSCRIBERS} subscribers are here already")
        if not self._subscribers:
            self._told = {session.name: session.values() for session in self._host.sessions()}
            self._set_by.clear()
        self._subscribers[who] = _Subscriber(time.monotonic() + _KEPT_S, source)
        if not known:
            for session, values in self._told.items():
                for name, value in values.items():
                    self._send(who, f"/jackdaw/{session}/{name}", value_of(name, value))

    def _tell_changes(self, now: float) -> None:
        self._subscribers = {who: one for who, one in self._subscribers.items() if one.until > now}
        if not self._subscribers:
            return
        before, self._told = self._told, {session.name: session.values() for session in self._host.sessions()}
        for session, values in self._told.items():
            known = before.get(session, {})
            for name, value in values.items():
                if known.get(name) != value:
                    self._tell(session, name, value)
        self._set_by.clear()  # what was set and has not changed anything by now never will

    def _tell(self, session: str, name: str, value: float) -> None:
        setter, given = self._set_by.get((session, name), (None, None))
        for who, one in self._subscribers.items():
            if one.source != setter or given != value:
                self._send(who, f"/jackdaw/{session}/{name}", value_of(name, value))

    def _tell_levels(self) -> None:
        if self._subscribers:
            for session in self._host.sessions():
                levels = _levels(session)
                for name, key in LEVELS.items() if levels else ():
                    for who in self._subscribers:
                        self._send(who, f"/jackdaw/{session.name}/{name}", *levels[key])

    def _send(self, who: Address, address: str, *values: Any) -> None:
        try:
            self._socket.sendto(build_msg(address, list(values)).dgram, who)
        except OSError as error:  # whoever has gone is not to end the music
            self._log.warning("osc", to=f"{who[0]}:{who[1]}", error=str(error))


def _levels(session: Session) -> dict[str, Sequence[float]]:
    """Return the levels of a session, empty if it was closed just now."""
    try:
        levels: dict[str, Sequence[float]] = session.status()["levels"]
    except HostError:
        return {}
    return levels
