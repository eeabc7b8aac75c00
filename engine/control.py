"""The control socket, client's side: a session's knobs, prompts and status, for other processes of the same user.

ZeroMQ ROUTER on ``ipc://`` in a folder that only this user can enter; messages are msgpack maps::

    {"v": 1, "id": 7, "op": "set", "values": {"temperature": 0.8}}
    {"v": 1, "id": 7, "ok": True, "values": {...}}
    {"v": 1, "id": 7, "ok": False, "error": {"code": "bad value", "text": "temperature = 9 is out of range; ..."}}

Operations: ``hello``; ``status``; ``set`` (values: name to number); ``prompt`` (prompts: list of maps with text or
audio, and weight); ``reset`` (seed, may be missing); ``stop``. A message that cannot be understood gets an error reply
and changes nothing.
"""

import os
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgpack
import zmq

__all__ = ["MAX_MESSAGE", "VERSION", "ControlClient", "ControlError", "socket_path"]

VERSION = 1
MAX_MESSAGE = 1 << 20
_MAX_PATH = 107


class ControlError(RuntimeError):
    """The engine does not answer, or says no; the message says why.

    Parameters
    ----------
    text
        For the user.
    code
        The reply's error code; ``no answer`` if there was none.
    """

    def __init__(self, text: str, code: str = "no answer") -> None:
        super().__init__(text)
        self.code = code


def _folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    return Path(runtime) / "jackdaw" if runtime else Path(f"/tmp/jackdaw-{os.geteuid()}")


def socket_path(session: str, *, make: bool = False) -> Path:
    """Return where the socket of a session is: ``$XDG_RUNTIME_DIR/jackdaw/<session>.sock``, or below /tmp.

    Parameters
    ----------
    session
        Name of the session.
    make
        Make the folder (0700) if it is missing, and make sure that it is ours alone.

    Raises
    ------
    ControlError
        If the folder belongs to someone else or others may enter it, or the path is too long for a socket.
    """
    folder = _folder()
    if make:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen = folder.lstat()
        if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o077:
            raise ControlError(
                f"{folder} is not a folder of this user alone: remove it, or `chmod 700 {folder}`", "unsafe"
            )
    path = folder / f"{session}.sock"
    if len(os.fsencode(path)) > _MAX_PATH:
        raise ControlError(
            f"{path} is too long for a socket ({_MAX_PATH} bytes); set XDG_RUNTIME_DIR to a shorter folder"
        )
    return path


class ControlClient:
    """Talks to the engine of a session. One thread at a time.

    Parameters
    ----------
    session
        Name of the session.
    timeout
        Seconds to wait for a reply.

    Raises
    ------
    ControlError
        From every method, if the engine does not answer or says no.
    """

    def __init__(self, session: str, timeout: float = 1.0) -> None:
        self._name = session
        self._timeout = timeout
        self._number = 0
        path = socket_path(session)
        if not path.exists():
            raise ControlError(
                f"no engine plays session {session!r}: {path} is not there; start one with `jackdaw jam`"
            )
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.MAXMSGSIZE, 2 * MAX_MESSAGE)
        self._socket.connect(f"ipc://{path}")

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send one request; return its reply."""
        self._number += 1
        self._socket.send(msgpack.packb({"v": VERSION, "id": self._number, "op": op, **fields}))
        deadline = time.monotonic() + self._timeout
        while (left := deadline - time.monotonic()) > 0 and self._socket.poll(max(1, int(left * 1e3))):
            reply = msgpack.unpackb(self._socket.recv())
            # 0: the engine could not even read the number
            if not isinstance(reply, dict) or reply.get("id") not in (self._number, 0):
                continue
            if reply.get("ok") is True:
                return reply
            error = reply.get("error") or {}
            raise ControlError(str(error.get("text")), str(error.get("code")))
        raise ControlError(f"the engine of session {self._name!r} does not answer within {self._timeout:g} s")

    def status(self) -> dict[str, Any]:
        """Return how the session is doing; see :meth:`jackdaw.engine.session.Session.status`."""
        status: dict[str, Any] = self.ask("status")["status"]
        return status

    def set(self, **values: float) -> dict[str, float]:
        """Turn knobs; return all their values."""
        result: dict[str, float] = self.ask("set", values=values)["values"]
        return result

    def prompt(self, prompts: Sequence[Mapping[str, Any]]) -> None:
        """Change the style: maps with ``text`` or ``audio`` (a path), and ``weight``."""
        self.ask("prompt", prompts=[dict(prompt) for prompt in prompts])

    def reset(self, seed: int | None = None) -> None:
        """Let the model forget what it played."""
        self.ask("reset", **({} if seed is None else {"seed": seed}))

    def stop(self) -> None:
        """Ask the engine to fade out and end."""
        self.ask("stop")

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()
        self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
