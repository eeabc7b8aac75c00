"""The engine's side of the control protocol: sockets, one control thread, telemetry.

The control thread owns all sockets. It hands messages to the :class:`~jackdaw.engine.protocol.desk.Desk`, which answers
them in order, and publishes telemetry. It never steps a model and never waits for one.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import zmq

from jackdaw import __version__
from jackdaw.engine.host import Host, HostError
from jackdaw.engine.protocol.address import EngineLock, TcpAddress, socket_path, telemetry_path
from jackdaw.engine.protocol.curve import DoorKeeper
from jackdaw.engine.protocol.desk import Desk
from jackdaw.engine.protocol.messages import MAX_MESSAGE, ControlError, Request
from jackdaw.engine.protocol.operations import Caller, Operations, refusal
from jackdaw.log import Log

__all__ = ["ControlServer"]

_TELEMETRY_S = 0.1
_ENGINE_S = 1.0
_REFUSAL_S = 10.0
_BATCH = 64
_IN_MESSAGES = 64
_OUT_MESSAGES = 128
_LINGER_MS = 200


class ControlServer:
    """Answers for an engine; see the module.

    Parameters
    ----------
    host
        Of the sessions.
    engine
        Name of the engine.
    on_stop
        Called when a client asks the engine to stop, or the server has broken down (see :attr:`error`).
    log
        Where events go.
    listen
        Also listen on this TCP address, ``tcp://ADDRESS:PORT``.
    keys
        Folder of keys; on TCP, only clients on its list get in then.

    Raises
    ------
    ControlError
        If an engine of that name runs already, the address cannot be listened on, or it is not a loopback address and
        there are no keys.
    """

    def __init__(
        self,
        host: Host,
        engine: str,
        *,
        on_stop: Callable[[], None],
        log: Log,
        listen: str | None = None,
        keys: Path | None = None,
    ) -> None:
        address = None if listen is None else TcpAddress(listen)
        if address is not None and keys is None and not address.is_loopback:
            raise ControlError(
                f"{listen} can be reached from other machines: give --keys FOLDER, so that only clients on its list "
                f"get in (`jackdaw keys FOLDER --client NAME` makes keys), or listen on tcp://127.0.0.1:PORT",
                "unsafe",
            )
        if address is None and keys is not None:
            raise ControlError("--keys guards what listens on TCP: give --listen tcp://ADDRESS:PORT too", "bad value")
        self._host = host
        self._log = log
        self._on_stop = on_stop
        self.error: BaseException | None = None
        self._lock = EngineLock(engine)
        self._files = [socket_path(engine, make=True), telemetry_path(engine, make=True)]
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._context: zmq.Context[Any] = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []
        self._telemetry: list[zmq.Socket[bytes]] = []
        self._callers: list[str] = []
        self._door: DoorKeeper | None = None
        self._refusal_due = 0.0
        try:
            self._listen(*(f"ipc://{path}" for path in self._files), tcp=None)
            for path in self._files:
                path.chmod(0o600)
            if address is not None:
                self._door = None if keys is None else DoorKeeper(self._context, keys)
                self._listen(address.requests, address.telemetry, tcp=address)
        except BaseException:
            self._release()
            raise
        self.operations = Operations(host, engine, on_stop, log)
        """What is done here when asked; other surfaces ask for it, too."""
        self._desk = Desk(self._answer, refusal, self._send)
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering; remove the sockets."""
        os.eventfd_write(self._stop, 1)
        if self._thread.ident is not None:
            self._thread.join()
        self._desk.close()
        self._release()

    def _release(self) -> None:
        self._context.destroy(linger=_LINGER_MS)
        for path in self._files:
            path.unlink(missing_ok=True)
        self._lock.release()
        os.close(self._stop)

    def _listen(self, requests: str, telemetry: str, *, tcp: TcpAddress | None) -> None:
        for kind, address, kept in ((zmq.ROUTER, requests, self._sockets), (zmq.PUB, telemetry, self._telemetry)):
            socket = self._context.socket(kind)
            kept.append(socket)
            socket.setsockopt(zmq.MAXMSGSIZE, 2 * MAX_MESSAGE)  # above 1 MiB they are told why, above 2 cut off
            socket.setsockopt(zmq.RCVHWM, _IN_MESSAGES)
            socket.setsockopt(zmq.SNDHWM, _OUT_MESSAGES)
            socket.setsockopt(zmq.LINGER, _LINGER_MS)
            if tcp is not None:
                socket.setsockopt(zmq.IPV6, int(tcp.is_v6))
                socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
                if self._door is not None:
                    self._door.guard(socket)
            try:
                socket.bind(address)
            except zmq.ZMQError as error:
                raise ControlError(f"cannot listen on {address}: {error.strerror}", "failed") from error
        self._callers.append(telemetry)

    # ---- control thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            poller = zmq.Poller()
            for socket in self._sockets:
                poller.register(socket, zmq.POLLIN)
            for file in (self._stop, self._desk.wake):
                poller.register(file, zmq.POLLIN)
            if self._door is not None:
                poller.register(self._door.socket, zmq.POLLIN)
            due = engine_due = time.monotonic()
            while True:
                ready = dict(poller.poll(1 + int(max(0.0, due - time.monotonic()) * 1e3)))
                if self._stop in ready:
                    return
                if self._desk.wake in ready:
                    self._desk.finish()
                if self._door is not None and self._door.socket in ready:
                    self._open_door(self._door)
                for index, socket in enumerate(self._sockets):
                    if socket in ready:
                        self._receive(index, socket)
                now = time.monotonic()
                if now >= due:
                    due = max(due + _TELEMETRY_S, now)
                    self._tell_sessions()
                if now >= engine_due:
                    engine_due = now + _ENGINE_S
                    self._tell_engine()
        except BaseException as error:
            self.error = error
            self._on_stop()
            raise

    def _open_door(self, door: DoorKeeper) -> None:
        address, client = door.answer()
        if client is not None:
            self._log.info("client let in", address=address, client=client)
        elif time.monotonic() >= self._refusal_due:  # who is refused tries again ten times a second
            self._refusal_due = time.monotonic() + _REFUSAL_S
            self._log.warning("client refused: its key is not on the list", address=address)

    def _receive(self, index: int, socket: "zmq.Socket[bytes]") -> None:
        for _ in range(_BATCH):
            try:
                identity = socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            payload: bytes | None = socket.recv()
            while socket.getsockopt(zmq.RCVMORE):
                socket.recv()  # however many there are, none is kept
                payload = None
            self._desk.take((index, identity), payload)

    def _answer(self, request: Request, key: Any) -> bytes:
        return self.operations.answer(request, Caller(key, self._callers[key[0]]))

    def _send(self, key: Any, reply: bytes) -> None:
        index, identity = key
        self._sockets[index].send_multipart([identity, reply])

    def _tell_sessions(self) -> None:
        for session in self._host.sessions():
            try:
                status = session.status()
            except HostError:
                continue  # it was closed just now
            told = {**status, "phase": session.phase, "revision": session.revision}
            self._publish(f"session/{session.name}", told)

    def _tell_engine(self) -> None:
        names = [session.name for session in self._host.sessions()]
        self._publish("engine", {"sessions": names, "version": __version__, "pid": os.getpid()})

    def _publish(self, topic: str, told: dict[str, Any]) -> None:
        frames = [topic.encode(), msgpack.packb(told)]
        for socket in self._telemetry:
            socket.send_multipart(frames)
