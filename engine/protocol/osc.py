"""Open Sound Control: the parameter tree and the control of sessions over UDP, for pads, tablets and other programs.

One thread takes datagrams one by one and does what they ask for, and tells subscribers what has changed since, from
whichever side. Loopback alone: OSC knows no keys. Addresses::

    /jackdaw/SESSION/PARAMETER [f]                    set; without a value: ask, and get the same address with the value
    /jackdaw/SESSION/prompt s [f] s [f] ...           replace the prompts, each a text and maybe its weight
    /jackdaw/SESSION/reset [i]                        forget; from this seed
    /jackdaw/SESSION/note i i                         MIDI note and velocity, 0 lets go
    /jackdaw/SESSION/transport f [i]                  roll at so many bpm, beats per bar; 0 stops
    /jackdaw/SESSION/tap
    /jackdaw/subscribe [i], /jackdaw/unsubscribe [i]  changes go to the sender, or that port of it, for 60 s
    /jackdaw/tree                                     every parameter of every session, to the sender

What cannot be done is answered by ``/error`` with the address and a text, and changes nothing. Time tags are not
waited for.
"""

import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from pythonosc.osc_message_builder import build_msg
from pythonosc.osc_packet import OscPacket, ParseError

from jackdaw.engine.host import Host, HostError
from jackdaw.engine.parameters import PARAMETERS
from jackdaw.engine.prompts import Prompt
from jackdaw.engine.session import Session
from jackdaw.log import Log

__all__ = ["LOOPBACK", "OscServer"]

LOOPBACK = "127.0.0.1"

_LOOK_S = 0.05
_KEPT_S = 60.0
_SUBSCRIBERS = 16
_DATAGRAM = 65536
_TEXT = 1000

Address = tuple[str, int]


class OscServer:
    """See the module.

    Parameters
    ----------
    host
        Of the sessions.
    port
        UDP, on loopback; 0 takes any that is free.
    log
        Where breakdowns go.

    Raises
    ------
    OSError
        If the port is taken.
    """

    def __init__(self, host: Host, port: int, *, log: Log) -> None:
        self._host = host
        self._log = log
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((LOOPBACK, port))
        except OSError as error:
            self._socket.close()
            raise OSError(f"OSC: port {port} on {LOOPBACK} is not free: {error.strerror}; give another") from error
        self._socket.settimeout(_LOOK_S)
        self._subscribers: dict[Address, float] = {}
        self._told: dict[str, dict[str, float]] = {}
        self._revisions: dict[str, int] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="osc")

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close()

    # ---- the thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        looked = 0.0
        while not self._stopping.is_set():
            try:
                datagram, sender = self._socket.recvfrom(_DATAGRAM)
            except TimeoutError:
                pass
            except OSError as error:  # what could not be delivered to somebody who has gone comes back here
                self._log.warning("osc", error=str(error))
            else:
                self._take(datagram, sender)
            now = time.monotonic()
            if now - looked >= _LOOK_S:
                looked = now
                self._tell_changes(now)

    def _take(self, datagram: bytes, sender: Address) -> None:
        try:
            messages = OscPacket(datagram).messages
        except (ParseError, ValueError, IndexError, RecursionError) as error:
            self._send(sender, "/error", "", f"this is no OSC: {error}")
            return
        for timed in messages:
            address = timed.message.address
            try:
                self._do(address, list(timed.message.params), sender)
            except (ValueError, HostError, OSError) as error:
                self._send(sender, "/error", address[:_TEXT], str(error)[:_TEXT])
            except Exception as error:  # one message must not end the music
                self._log.warning("osc", address=address, error=repr(error))
                self._send(sender, "/error", address[:_TEXT], repr(error)[:_TEXT])

    def _do(self, address: str, given: Sequence[Any], sender: Address) -> None:
        parts = address.split("/")[1:]
        if parts[0] != "jackdaw" or not 2 <= len(parts) <= 3:
            raise ValueError("addresses are /jackdaw/SESSION/PARAMETER; /jackdaw/tree lists them")
        if len(parts) == 2:
            self._do_for_all(parts[1], given, sender)
            return
        session, name = self._host.get(parts[1]), parts[2]
        if name in PARAMETERS:
            if given:
                session.set({name: _numbers(given, 1)[0]})
            else:
                self._send(sender, address, session.values()[name])
            return
        does = getattr(self, f"_do_{name}", None) if name in ("prompt", "reset", "note", "transport", "tap") else None
        if does is None:
            raise ValueError(f"no parameter named {name!r}; there are: {', '.join(PARAMETERS)}")
        does(session, given)

    def _do_for_all(self, name: str, given: Sequence[Any], sender: Address) -> None:
        if name == "tree":
            for session in self._host.sessions():
                for parameter, value in session.values().items():
                    self._send(sender, f"/jackdaw/{session.name}/{parameter}", value)
            return
        if name not in ("subscribe", "unsubscribe"):
            raise ValueError("/jackdaw/ takes subscribe, unsubscribe and tree")
        port = int(_numbers(given, 1)[0]) if given else sender[1]
        if not 1 <= port <= 65535:
            raise ValueError(f"port {port}: give 1 to 65535")
        if name == "unsubscribe":
            self._subscribers.pop((sender[0], port), None)
            return
        if len(self._subscribers) >= _SUBSCRIBERS and (sender[0], port) not in self._subscribers:
            raise ValueError(f"{_SUBSCRIBERS} subscribers are here already")
        self._subscribers[sender[0], port] = time.monotonic() + _KEPT_S

    def _do_prompt(self, session: Session, given: Sequence[Any]) -> None:
        prompts: list[Prompt] = []
        for item in given:
            if isinstance(item, str):
                prompts.append(Prompt(text=item))
            elif prompts and prompts[-1].weight == 1.0:
                prompts[-1] = Prompt(text=prompts[-1].text, weight=_numbers([item], 1)[0])
            else:
                raise ValueError("prompt takes texts, each maybe with a weight after it")
        session.set_prompts(prompts)

    def _do_reset(self, session: Session, given: Sequence[Any]) -> None:
        session.reset(int(_numbers(given, 1)[0]) if given else None)

    def _do_note(self, session: Session, given: Sequence[Any]) -> None:
        note, velocity = (int(number) for number in _numbers(given, 2))
        if not (0 <= note <= 127 and 0 <= velocity <= 127):
            raise ValueError(f"note {note} with velocity {velocity}: give 0 to 127")
        session.play_notes([bytes([0x90, note, velocity])])

    def _do_transport(self, session: Session, given: Sequence[Any]) -> None:
        bpm = _numbers(given[:1], 1)[0]
        beats = int(_numbers(given[1:], 1)[0]) if len(given) > 1 else 4
        session.set_transport(bpm or 120.0, 0.0, beats, bpm > 0)

    def _do_tap(self, session: Session, given: Sequence[Any]) -> None:
        session.tap()

    def _tell_changes(self, now: float) -> None:
        self._subscribers = {who: until for who, until in self._subscribers.items() if until > now}
        sessions = {session.name: session for session in self._host.sessions()}
        self._told = {name: told for name, told in self._told.items() if name in sessions}
        for name, session in sessions.items():
            if name in self._told and self._revisions.get(name) == session.revision:
                continue
            self._revisions[name] = session.revision
            values, before = session.values(), self._told.get(name, {})
            self._told[name] = values
            for parameter, value in values.items():
                if before.get(parameter) != value:
                    for who in self._subscribers:
                        self._send(who, f"/jackdaw/{name}/{parameter}", value)

    def _send(self, who: Address, address: str, *values: Any) -> None:
        try:
            self._socket.sendto(build_msg(address, list(values)).dgram, who)
        except OSError as error:  # whoever has gone is not to end the music
            self._log.warning("osc", to=f"{who[0]}:{who[1]}", error=str(error))


def _numbers(given: Sequence[Any], count: int) -> list[float]:
    """Return the arguments as numbers; true is 1.

    Raises
    ------
    ValueError
        If they are others, or more or fewer.
    """
    if len(given) != count or not all(isinstance(value, bool | int | float) for value in given):
        raise ValueError(f"takes {count} number{'s' * (count > 1)}, not {str(list(given))[:100]}")
    return [float(value) for value in given]
