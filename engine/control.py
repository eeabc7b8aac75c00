"""The control socket: a session's knobs, prompts and status, for other processes of the same user.

ZeroMQ ROUTER on ``ipc://`` in a folder that only this user can enter; messages are msgpack maps::

    {"v": 1, "id": 7, "op": "set", "values": {"temperature": 0.8}}
    {"v": 1, "id": 7, "ok": True, "values": {...}}
    {"v": 1, "id": 7, "ok": False, "error": {"code": "bad value", "text": "temperature = 9 is out of range; ..."}}

Operations: ``hello``; ``status``; ``set`` (values: name to number); ``prompt`` (prompts: list of maps with text or
audio, and weight); ``reset`` (seed, may be missing); ``stop``. A message that cannot be understood gets an error reply
and changes nothing. The server runs on one thread of its own; what it asks of the session is done by mail.
"""

import os
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import msgpack
import zmq

from jackdaw.engine.prompts import Prompt, Prompts
from jackdaw.engine.session import Session

__all__ = ["MAX_MESSAGE", "VERSION", "ControlClient", "ControlError", "ControlServer", "socket_path"]

VERSION = 1
MAX_MESSAGE = 1 << 20
_POLL_MS = 100
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


class _BadRequestError(ValueError):
    def __init__(self, code: str, text: str) -> None:
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


def _decode(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_MESSAGE:
        raise _BadRequestError("too large", f"message of {len(payload)} bytes; at most {MAX_MESSAGE} are taken")
    try:
        message = msgpack.unpackb(payload)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise _BadRequestError("malformed", f"not a msgpack message: {error}") from error
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise _BadRequestError("malformed", "a message is a map with text keys: v, id, op and what the op takes")
    return message


def _field(message: Mapping[str, Any], name: str, kinds: type | tuple[type, ...], what: str) -> Any:
    value = message.get(name)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise _BadRequestError("bad value", f"{name!r} is missing or not {what}")
    return value


def _known(message: Mapping[str, Any], *names: str) -> None:
    if extra := sorted(set(message) - {"v", "id", "op", *names}):
        raise _BadRequestError(
            "bad value", f"unknown field {extra[0]!r}; this op takes {', '.join(names) or 'nothing'}"
        )


def _prompt(item: object) -> Prompt:
    if not isinstance(item, dict) or not set(item) <= {"text", "audio", "weight"}:
        raise _BadRequestError("bad value", "a prompt is a map of text or audio (a path), and weight")
    text, audio, weight = item.get("text"), item.get("audio"), item.get("weight", 1.0)
    for value in (text, audio):
        if not isinstance(value, str | None):
            raise _BadRequestError("bad value", "text and audio of a prompt are text")
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise _BadRequestError("bad value", "the weight of a prompt is a number")
    return Prompt(text=text, audio=audio, weight=float(weight))


class ControlServer:
    """Answers for one session; see the module.

    Parameters
    ----------
    session
        The session.
    name
        Its name, which names the socket.
    prompts
        Embeds prompts for the session's model; used by this server's thread alone from now on.
    current
        The prompts that the session started with.
    on_stop
        Called when a client asks the engine to stop.
    """

    def __init__(
        self,
        session: Session,
        name: str,
        prompts: Prompts,
        current: Sequence[Prompt] = (),
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._session = session
        self._prompts = prompts
        self._current = list(current)
        self._on_stop = on_stop
        self._path = socket_path(name, make=True)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.MAXMSGSIZE, 2 * MAX_MESSAGE)
        self._socket.setsockopt(zmq.LINGER, 200)
        self._socket.bind(f"ipc://{self._path}")
        self._path.chmod(0o600)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        self._ops: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "hello": self._hello,
            "status": self._status,
            "set": self._set,
            "prompt": self._prompt,
            "reset": self._reset,
            "stop": self._stop_engine,
        }

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and remove the socket."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._socket.close()
        self._context.term()
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self._socket.poll(_POLL_MS):
                continue
            *envelope, payload = self._socket.recv_multipart()
            self._socket.send_multipart([*envelope, msgpack.packb(self.answer(payload))])

    def answer(self, payload: bytes) -> dict[str, Any]:
        """Return the reply to one message."""
        number = 0
        try:
            message = _decode(payload)
            given = message.get("id")
            if isinstance(given, int) and not isinstance(given, bool):
                number = given
            if message.get("v") != VERSION or isinstance(message["v"], bool):
                raise _BadRequestError("version", f"'v' is {message.get('v')!r}; this engine speaks version {VERSION}")
            _field(message, "id", int, "a whole number")
            op = _field(message, "op", str, "text")
            if op not in self._ops:
                raise _BadRequestError("unknown op", f"no op {op!r}; there are: {', '.join(self._ops)}")
            return {"v": VERSION, "id": number, "ok": True, **self._ops[op](message)}
        except _BadRequestError as error:
            code, text = error.code, str(error)
        except ValueError as error:
            code, text = "bad value", str(error)
        except OSError as error:
            code, text = "bad file", str(error)
        except RuntimeError as error:
            code, text = "failed", str(error)
        return {"v": VERSION, "id": number, "ok": False, "error": {"code": code, "text": text}}

    def _hello(self, message: Mapping[str, Any]) -> dict[str, Any]:
        _known(message)
        return {"model": self._session.model.spec.name, "pid": os.getpid(), "ops": list(self._ops)}

    def _status(self, message: Mapping[str, Any]) -> dict[str, Any]:
        _known(message)
        prompts = [{"name": prompt.name, "weight": prompt.weight} for prompt in self._current]
        return {"status": {**self._session.status(), "prompts": prompts}}

    def _set(self, message: Mapping[str, Any]) -> dict[str, Any]:
        _known(message, "values")
        values = _field(message, "values", dict, "a map of names to numbers")
        for name, value in values.items():
            if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int | float):
                raise _BadRequestError("bad value", f"{name!r}: {value!r} is not a name with a number")
        return {"values": self._session.set(values)}

    def _prompt(self, message: Mapping[str, Any]) -> dict[str, Any]:
        _known(message, "prompts")
        prompts = [_prompt(item) for item in _field(message, "prompts", list, "a list of prompts")]
        self._session.set_style(self._prompts.style(prompts))
        self._current = prompts
        return {}

    def _reset(self, message: Mapping[str, Any]) -> dict[str, Any]:
        _known(message, "seed")
        seed = message.get("seed")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63):
            raise _BadRequestError("bad value", f"seed is {seed!r}; give a whole number from 0")
        self._session.reset(seed)
        return {}

    def _stop_engine(self, message: Mapping[str, Any]) -> dict[str, Any]:
        _known(message)
        self._on_stop()
        return {}


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
