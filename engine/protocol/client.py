"""A client of the control protocol: asks an engine, and listens to its telemetry."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgpack
import zmq

from jackdaw.engine.protocol.address import TcpAddress, is_running, socket_path, telemetry_path
from jackdaw.engine.protocol.curve import load_client
from jackdaw.engine.protocol.messages import MAX_MESSAGE, VERSION, ControlError

__all__ = ["ControlClient"]

_LOOK_S = 0.1
_NO_ENGINE = "start one with `jackdaw serve`, or play with `jackdaw jam`"


class ControlClient:
    """Talks to one engine. One thread at a time.

    Parameters
    ----------
    engine
        Its name.
    session
        Whose knobs, prompts and status: what operations on a session are asked of; None asks for no session.
    connect
        ``tcp://ADDRESS:PORT`` instead of the local engine of that name.
    keys
        For `connect`: file of this client's keys, from ``jackdaw keys``.
    timeout
        Seconds to wait for a reply.

    Raises
    ------
    ControlError
        From every method, if the engine does not answer or says no.
    """

    def __init__(
        self,
        engine: str = "engine",
        session: str | None = None,
        *,
        connect: str | None = None,
        keys: Path | None = None,
        timeout: float = 1.0,
    ) -> None:
        self.session = session
        self._engine = engine
        self._local = connect is None
        self._timeout = timeout
        self._number = 0
        self._keys = None if keys is None else load_client(keys)
        if connect is None:
            if not is_running(engine):
                raise ControlError(f"no engine named {engine!r} runs; {_NO_ENGINE}")
            self._name = f"engine {engine!r}"
            self._addresses = [f"ipc://{socket_path(engine)}", f"ipc://{telemetry_path(engine)}"]
        else:
            address = TcpAddress(connect)
            if not address.is_loopback and keys is None:
                raise ControlError(f"{connect} is another machine: give --keys FILE", "unsafe")
            self._name = f"the engine at {connect}"
            self._addresses = [address.requests, address.telemetry]
        self._v6 = connect is not None and "[" in connect
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = self._connected(zmq.DEALER, self._addresses[0])

    def _connected(self, kind: int, address: str) -> "zmq.Socket[bytes]":
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, 2 * MAX_MESSAGE)
        socket.setsockopt(zmq.IPV6, int(self._v6))
        if self._keys is not None:
            public, secret, server = self._keys
            socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
            socket.setsockopt(zmq.CURVE_SERVERKEY, server)
        if kind == zmq.SUB:
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(address)
        return socket

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send one request as it is; return its reply."""
        self._number += 1
        self._socket.send(msgpack.packb({"v": VERSION, "id": self._number, "op": op, **fields}))
        deadline = time.monotonic() + self._timeout
        while (left := deadline - time.monotonic()) > 0:
            if not self._socket.poll(max(1, int(min(left, _LOOK_S) * 1e3))):
                if self._local and not is_running(self._engine):
                    raise ControlError(f"{self._name} has ended; {_NO_ENGINE}")
                continue
            reply = msgpack.unpackb(self._socket.recv())
            # 0: the engine could not even read the number
            if not isinstance(reply, dict) or reply.get("id") not in (self._number, 0):
                continue
            if reply.get("ok") is True:
                return reply
            error = reply.get("error") or {}
            raise ControlError(str(error.get("text")), str(error.get("code")))
        hint = "" if self._local else ": there is none, or it does not let these keys in"
        raise ControlError(f"{self._name} does not answer within {self._timeout:g} s{hint}")

    def tell(self, op: str, **fields: Any) -> dict[str, Any]:
        """Ask for an operation on the client's session; return the reply."""
        if self.session is None:
            raise ControlError(f"{op}: which session? give one of them", "bad value")
        return self.ask(op, session=self.session, **fields)

    def status(self) -> dict[str, Any]:
        """Return how the session is doing."""
        status: dict[str, Any] = self.tell("status")["status"]
        return status

    def set(self, **values: float) -> dict[str, float]:
        """Change parameters; return all their values."""
        result: dict[str, float] = self.tell("set", values=values)["values"]
        return result

    def prompt(self, prompts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Replace the prompts; see ``prompt`` in docs/protocol.md for what each may hold."""
        return self.tell("prompt", prompts=[dict(prompt) for prompt in prompts])

    def telemetry(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield what the engine tells, as it comes: topic and map; ends when a local engine has ended."""
        socket = self._connected(zmq.SUB, self._addresses[1])
        try:
            while True:
                if socket.poll(1000):
                    topic, told = socket.recv_multipart()
                    yield topic.decode(), msgpack.unpackb(told)
                elif self._local and not is_running(self._engine):
                    return
        finally:
            socket.close()

    def close(self) -> None:
        """Disconnect."""
        self._context.destroy(linger=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
