"""The control socket, engine's side; the messages are described in :mod:`jackdaw.engine.control`.

The server runs on one thread of its own. What it asks of the session is done by mail; prompts are embedded here, so
that the engine thread never waits for it.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgpack
import zmq

from jackdaw.engine.control import MAX_MESSAGE, VERSION, socket_path
from jackdaw.engine.prompts import Prompt, Prompts
from jackdaw.engine.session import Session

__all__ = ["ControlServer"]

_POLL_MS = 100


class _BadRequestError(ValueError):
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


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
        Called when a client asks the engine to stop, or the server has broken down (see :attr:`error`).
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
        self.error: BaseException | None = None
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
        try:
            while not self._stop.is_set():
                if not self._socket.poll(_POLL_MS):
                    continue
                *envelope, payload = self._socket.recv_multipart()
                self._socket.send_multipart([*envelope, msgpack.packb(self.answer(payload))])
        except BaseException as error:
            self.error = error
            self._on_stop()
            raise

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
