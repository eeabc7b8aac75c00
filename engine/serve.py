"""An engine's process: a host, the control server in front of it, and when to end.

Used by ``jackdaw serve`` (no session at first) and by ``python -m jackdaw.engine``, which ``jackdaw jam`` starts (one
session, named like the engine; if that one fails, the engine ends).
"""

import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from jackdaw.engine.host import Host
from jackdaw.engine.midi_map import MidiMap, map_path
from jackdaw.engine.options import Options
from jackdaw.engine.protocol.osc import OscServer
from jackdaw.engine.protocol.osc_query import OscQuery
from jackdaw.engine.protocol.server import ControlServer
from jackdaw.log import Log

__all__ = ["First", "serve"]

_POLL_S = 0.1
_GRACE_S = 10.0
_SWITCH_S = 0.0005
"""How long the device's thread may wait for Python's lock while another thread computes, e.g. embeds a prompt."""


@dataclass(frozen=True, kw_only=True)
class First:
    """The session to begin with: its name, its model's name, and how it plays."""

    session: str
    model: str
    options: Options


class _Use:
    """Tells when an engine has been unused for long enough."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + (seconds or 0.0) + _GRACE_S

    def is_over(self, sessions: int) -> bool:
        if self._seconds is None:
            return False
        if sessions:
            self._end = time.monotonic() + self._seconds
        return time.monotonic() >= self._end


def serve(
    engine: str,
    *,
    log: Log,
    stop: threading.Event,
    listen: str | None = None,
    keys: Path | None = None,
    osc: int | None = None,
    until_unused: float | None = None,
    first: First | None = None,
) -> None:
    """Run an engine until `stop` is set, or a client stops it.

    Parameters
    ----------
    engine
        Its name.
    log
        Where events go.
    stop
        Ends the engine: it fades out what plays.
    listen, keys
        See :class:`~jackdaw.engine.protocol.server.ControlServer`.
    osc
        Port on loopback where OSC is spoken (UDP), and the tree of addresses told (HTTP); None: nowhere.
    until_unused
        End by itself when for so many seconds no session has been open (and not before 10 s more from the start).
    first
        A session to begin with; the engine ends if it fails.

    Raises
    ------
    ControlError
        If an engine of that name runs already, or it cannot listen.
    OSError
        If the port for OSC is taken.
    RuntimeError
        If the first session fails, or the engine breaks down.
    ValueError
        If the first session's model or options are none, or the map of MIDI controllers is not one.
    """
    sys.setswitchinterval(_SWITCH_S)
    host = Host(log=log, midi_map=MidiMap(map_path()))
    try:
        server = ControlServer(host, engine, on_stop=stop.set, log=log, listen=listen, keys=keys)
        speakers = ExitStack()
        try:
            session = None
            if first is not None:
                session = host.open(first.session, model=first.model, options=first.options)
            server.start()
            if osc is not None:
                speaker = OscServer(host, server.operations, osc, log=log)
                speakers.callback(speaker.close)
                query = OscQuery(host, osc, engine, log=log)
                speakers.callback(query.close)
                speaker.start()
                query.start()
            log.info("serving", engine=engine, listen=listen, osc=osc)
            use = _Use(until_unused)
            while not stop.wait(_POLL_S) and host.running and not use.is_over(len(host.sessions())):
                if session is not None and session.phase == "failed":
                    raise RuntimeError(session.error_text)
            host.stop()
        finally:
            speakers.close()
            server.close()
    finally:
        host.stop()
    error = host.error or server.error
    if error is not None:
        raise RuntimeError(f"the engine broke down: {error!r}") from error
