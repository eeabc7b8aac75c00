"""The bridge's control loop: holds the JACK client, the segment and the recording together, whatever dies.

One thread, in Python; the audio thread never waits for it. It sleeps until something happens (a word from JACK, the
engine's death, a signal) and looks at the rest twenty times a second:

- no engine yet, or a dead one: the client stays connected and silent, and takes up the next engine;
- a MIDI device comes: it is connected; one goes: its notes are let go;
- the server shuts down or dies: a new client as soon as a server of that name is back, connected as before;
- rate or period change: the engine is told, and delivers accordingly;
- the loop latency changes: JACK is told.
"""

import contextlib
import math
import os
import select
import time
from pathlib import Path

from jackdaw.bridge._attachment import Attachment
from jackdaw.bridge._connections import Connections
from jackdaw.bridge.client import JackClient
from jackdaw.bridge.recorder import Recorder, Recording
from jackdaw.bridge.server import ServerError
from jackdaw.bridge.timebase import Timebase
from jackdaw.dsp import Client, SegmentBusy
from jackdaw.log import Log

__all__ = ["Bridge"]

_TURN_S = 0.05
_BACK_OFF_S = (0.1, 0.25, 0.5, 1.0)
_FADE_S = 0.05
_FADE_LIMIT_S = 0.5
_BUSY_S = 3.0
_DEVICES_S = 0.5
_SETTLE_S = 2.0  # a server that shuts down takes connections apart first: those are not the user's doing


class Bridge:
    """The JACK side of one session.

    Parameters
    ----------
    session
        Name of the session.
    server
        Name of the JACK server.
    client
        Name of the JACK client; None = ``jackdaw``, or ``jackdaw-SESSION`` for sessions other than ``jam``.
    connect
        Connect to the hardware's ports at first.
    hear_from
        JACK client to connect the inputs to at first, instead of the hardware.
    click
        Connect the metronome to the hardware's ports at first.
    timebase
        What to lead JACK's transport with, if it is to be led; closed at the end.
    record
        FLAC file to record to, or None.
    log
        Where events go.
    """

    def __init__(
        self,
        session: str,
        server: str,
        *,
        client: str | None = None,
        connect: bool,
        click: bool = False,
        timebase: Timebase | None = None,
        hear_from: str | None = None,
        record: Path | None,
        log: Log,
    ) -> None:
        self._name = client or ("jackdaw" if session == "jam" else f"jackdaw-{session}")
        self._server = server
        self._log = log
        self._renderer = Client()
        self._attachment = Attachment(session, self._renderer)
        self._connections = Connections(automatic=connect, hear_from=hear_from, click=click)
        self._timebase = timebase
        self._recorder = None if record is None else Recorder(record, self._renderer, log.info)
        self._client: JackClient | None = None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._stopping = False
        self._failures = 0
        self._next_try = 0.0
        self._obstacle: str | None = None
        self._busy_since: float | None = None
        self._remember_at = math.inf
        self._devices_at = 0.0

    def wake(self) -> None:
        """Let the loop look around now. Any thread, signal handlers too."""
        os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        """Let :meth:`run` fade out, finish the recording and return. Any thread, signal handlers too."""
        self._stopping = True
        self.wake()

    def run(self) -> None:
        """Play until told to stop.

        Raises
        ------
        ServerError
            If there is no server at the start.
        SegmentBusy
            If another client has this session.
        RecorderError
            If the recording cannot be written.
        """
        # prompt under load, where it may be: this thread hardly computes, those that it starts don't inherit
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        try:
            self._connect()
            while not self._stopping:
                self._sleep()
                self._turn()
            self._fade_out()
        finally:
            self._close()

    def _sleep(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        engine = self._attachment.engine
        if engine is not None:
            poll.register(engine, select.POLLIN)
        for file, _ in poll.poll(_TURN_S * 1e3):
            if file == self._wake:
                os.eventfd_read(self._wake)
            else:
                self._attachment.engine_stirred()

    def _turn(self) -> None:
        self._look_after_engine()
        if self._client is None:
            if time.monotonic() >= self._next_try:
                self._reconnect()
            return
        news = self._client.news()
        if "shutdown" in news:
            self._log.warning("server gone", server=self._server)
            self._drop_client()
            return
        if "format" in news:
            self._tell_format(self._client)
        now = time.monotonic()
        if "connections" in news:
            self._remember_at = now + _SETTLE_S
        if now >= self._remember_at:
            self._connections.remember(self._client.jack)
            self._remember_at = math.inf
        if now >= self._devices_at:
            self._devices_at = now + _DEVICES_S
            self._look_after_devices(self._client)
        reader = self._attachment.reader
        if reader is not None and self._client.latency.tell(reader.loop_latency):
            self._log.info(
                "latency", frames=reader.loop_latency, ms=round(reader.loop_latency / self._client.rate * 1e3, 1)
            )
        if reader is not None and self._timebase is not None:
            self._timebase.follow(reader.told, self._client.jack)
        if self._recorder is not None and self._recorder.error is not None:
            self._stopping = True

    def _look_after_devices(self, client: JackClient) -> None:
        come, gone = self._connections.look(client.jack)
        if gone:
            self._renderer.release_notes()
        for event, names in (("MIDI device", come), ("MIDI device gone", gone)):
            for name in sorted(names):
                self._log.info(event, port=name)

    def _look_after_engine(self) -> None:
        change = self._attachment.check()
        reader = self._attachment.reader
        if change is not None and reader is not None:
            self._log.info(change, engine_pid=reader.writer_pid)
        obstacle = self._attachment.obstacle
        if obstacle != self._obstacle:
            self._obstacle = obstacle
            if obstacle is not None:
                self._log.info("waiting for the engine", why=obstacle)
        if not self._attachment.busy:
            self._busy_since = None
        elif self._busy_since is None:
            self._busy_since = time.monotonic()
        elif time.monotonic() - self._busy_since > _BUSY_S:
            raise SegmentBusy(f"{obstacle}: stop the other one, or give this jam another name with --session")

    # ---- the JACK client -----------------------------------------------------------------------------------

    def _connect(self) -> None:
        reader = self._attachment.reader
        loop = 0 if reader is None else reader.loop_latency
        client = JackClient(self._name, self._server, self._renderer, loop=loop, wake=self._wake)
        try:
            self._tell_format(client)
            if self._recorder is not None:
                self._say_recorded(self._recorder.begin(client.rate))
            client.activate()
        except BaseException:
            client.close()
            raise
        self._client = client
        if self._timebase is not None and not self._timebase.lead(client.jack):
            text = "another client is JACK's timebase master: stop that, or leave out --timebase"
            if not self._connections.were_made:
                raise ServerError(text)
            self._log.warning(text, server=self._server)
        failed = self._connections.make(client.jack)
        self._connections.remember(client.jack)
        self._log.info(
            "connected", client=client.jack.name, server=self._server, rate=client.rate, period=client.period
        )
        if failed:
            self._log.warning("ports not connected", pairs=failed)

    def _reconnect(self) -> None:
        try:
            self._connect()
        except ServerError:
            self._next_try = time.monotonic() + _BACK_OFF_S[min(self._failures, len(_BACK_OFF_S) - 1)]
            self._failures += 1
        else:
            self._failures = 0

    def _drop_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
            self._remember_at = math.inf

    def _tell_format(self, client: JackClient) -> None:
        self._renderer.set_rate(client.rate)
        self._attachment.set_format(client.rate, client.period)

    # ---- the end -------------------------------------------------------------------------------------------

    def _fade_out(self) -> None:
        """Fade by the volume, then close the gate, and wait until that was played."""
        if self._client is None:
            return
        self._renderer.set_volume(0.0)
        time.sleep(_FADE_S)
        self._renderer.request_stop()
        deadline = time.monotonic() + _FADE_LIMIT_S
        while not self._renderer.stopped and time.monotonic() < deadline:
            time.sleep(_FADE_S / 10)

    def _close(self) -> None:
        self._drop_client()
        try:
            if self._recorder is not None:
                self._say_recorded(self._recorder.end())
        finally:
            self._attachment.close()
            self._renderer.close()
            if self._timebase is not None:
                self._timebase.close()
            if self._recorder is not None:
                self._recorder.close()
            os.close(self._wake)

    def _say_recorded(self, recording: Recording | None) -> None:
        if recording is None:
            return
        event = "recorded" if recording.played is not None else "nothing was played, nothing recorded"
        level = "warning" if recording.lost or recording.clipped else "info"
        self._log.write(level, event, **vars(recording))
