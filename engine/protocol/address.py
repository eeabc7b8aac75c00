"""Where engines are found: names, the sockets' folder, the lock that a living engine holds, and TCP addresses.

For an engine ``NAME`` the folder holds ``NAME.sock`` (requests), ``NAME.pub.sock`` (telemetry) and ``NAME.lock``, which
the engine keeps locked while it lives. The kernel drops the lock with the process, however that ends; so sockets that a
killed engine left are never mistaken for a living one, and the next engine of that name takes them over.
"""

import fcntl
import ipaddress
import os
import re
import stat
import time
from pathlib import Path
from typing import Self

from jackdaw.engine.protocol.messages import ControlError

__all__ = [
    "NAME",
    "EngineLock",
    "TcpAddress",
    "check_name",
    "is_running",
    "running_engines",
    "socket_path",
    "telemetry_path",
]

_LOCK_TRIES, _LOCK_TRY_S = 6, 0.02
NAME = re.compile(r"[a-z0-9-]{1,32}")
"""Names of engines and sessions."""

_MAX_PATH = 107  # sun_path of unix(7), less its final zero


def check_name(name: str, what: str = "engine") -> str:
    """Return `name`; raise :class:`ControlError` if it is none."""
    if not NAME.fullmatch(name):
        raise ControlError(f"{what} name {name!r}: use 1 to 32 of a-z, 0-9 and -", "bad value")
    return name


def _folder(*, make: bool = False) -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(runtime) / "jackdaw" if runtime else Path(f"/tmp/jackdaw-{os.geteuid()}")
    if make:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        seen = folder.lstat()
    except FileNotFoundError:
        return folder
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o077:
        raise ControlError(f"{folder} is not a folder of this user alone: remove it, or `chmod 700 {folder}`", "unsafe")
    return folder


def _path(engine: str, suffix: str, *, make: bool) -> Path:
    path = _folder(make=make) / f"{check_name(engine)}{suffix}"
    if len(os.fsencode(path)) > _MAX_PATH:
        raise ControlError(
            f"{path} is too long for a socket ({_MAX_PATH} bytes); set XDG_RUNTIME_DIR to a shorter folder", "unsafe"
        )
    return path


def socket_path(engine: str, *, make: bool = False) -> Path:
    """Return where an engine takes requests.

    Parameters
    ----------
    engine
        Its name.
    make
        Make the folder (0700) if it is missing.

    Raises
    ------
    ControlError
        If the name is none, the folder is not this user's alone, or the path is too long for a socket.
    """
    return _path(engine, ".sock", make=make)


def telemetry_path(engine: str, *, make: bool = False) -> Path:
    """Return where an engine publishes telemetry; as :func:`socket_path`."""
    return _path(engine, ".pub.sock", make=make)


class EngineLock:
    """The right to be the engine of a name; held until :meth:`release`, or the end of the process.

    Raises
    ------
    ControlError
        If a living engine has the name.
    """

    def __init__(self, engine: str) -> None:
        self._path = _path(engine, ".lock", make=True)
        while True:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            if not self._is_locked_now():
                os.close(self._file)
                raise ControlError(
                    f"engine {engine!r} runs already: `jackdaw ctl stop --engine {engine}` stops it; or give this one "
                    f"another name",
                    "in use",
                )
            if self._is_the_file_of_that_name():
                return
            os.close(self._file)  # its owner removed it just now: what we locked is no longer found by anyone

    def _is_locked_now(self) -> bool:
        """Take the lock; who only asks whether an engine lives holds it for an instant."""
        for _ in range(_LOCK_TRIES):
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                time.sleep(_LOCK_TRY_S)
        return False

    def _is_the_file_of_that_name(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file), self._path.lstat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the name up."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_running(engine: str) -> bool:
    """Return whether an engine of that name lives on this machine, of this user."""
    try:
        file = os.open(_path(engine, ".lock", make=False), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def running_engines() -> list[str]:
    """Return the names of this user's living engines, sorted."""
    folder = _folder()
    names = sorted(path.stem for path in folder.glob("*.lock")) if folder.is_dir() else []
    return [name for name in names if NAME.fullmatch(name) and is_running(name)]


class TcpAddress:
    """``tcp://ADDRESS:PORT``: requests go there, telemetry comes from the next port.

    Parameters
    ----------
    text
        ADDRESS is a number (IPv6 in brackets) or ``localhost``; PORT is 1..65534.

    Raises
    ------
    ControlError
        If the text is not that.
    """

    def __init__(self, text: str) -> None:
        wrong = ControlError(
            f"address {text!r}: give tcp://ADDRESS:PORT, with a number (or localhost) and a port from 1 to 65534, "
            f"e.g. tcp://127.0.0.1:5570",
            "bad value",
        )
        match = re.fullmatch(r"tcp://(\[[0-9A-Fa-f:.]+\]|[0-9.]+|localhost):([0-9]{1,5})", text)
        if match is None or not 1 <= int(match[2]) <= 65534:
            raise wrong
        host = "127.0.0.1" if match[1] == "localhost" else match[1].strip("[]")
        try:
            self._host = ipaddress.ip_address(host)
        except ValueError:
            raise wrong from None
        self._port = int(match[2])

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self._host.is_loopback

    @property
    def is_v6(self) -> bool:
        """Whether it is an IPv6 address."""
        return self._host.version == 6

    @property
    def requests(self) -> str:
        """The address of the request socket, as ZeroMQ takes it."""
        return self._at(self._port)

    @property
    def telemetry(self) -> str:
        """The address of the telemetry socket."""
        return self._at(self._port + 1)

    def _at(self, port: int) -> str:
        return f"tcp://[{self._host}]:{port}" if self.is_v6 else f"tcp://{self._host}:{port}"
