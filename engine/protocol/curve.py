"""Keys for engines that listen beyond this machine: CurveZMQ, with a list of clients that get in.

A folder of keys::

    server.key          the engine's pair, secret                         (0600)
    clients/NAME.key    the public key of a client that gets in
    NAME.key            what that client needs: its pair and the engine's public key, secret; to be moved to the client

All are TOML. The list is read at each handshake, so that a client is let in, or shut out from its next connection on,
by putting its file there or taking it away.

:class:`DoorKeeper` answers ZeroMQ's authentication protocol (RFC 27, ZAP) on the control thread.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import zmq
from zmq.utils import z85

from jackdaw.engine.protocol.messages import ControlError

__all__ = ["DOMAIN", "DoorKeeper", "load_client", "load_server", "make_keys"]

DOMAIN = b"jackdaw"
"""ZAP domain of the sockets that ask for keys."""

_ZAP_ADDRESS = "inproc://zeromq.zap.01"
_KEY = re.compile(r"[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MAX_BYTES = 4096


def _write(path: Path, mode: int, keys: dict[str, bytes], remark: str) -> None:
    lines = [f"# {remark}", *(f'{name} = "{value.decode()}"' for name, value in keys.items())]
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write("\n".join(lines) + "\n")


def _read(path: Path, *names: str, secret: bool) -> list[bytes]:
    try:
        with path.open("rb") as stream:
            seen = os.fstat(stream.fileno())
            data = stream.read(_MAX_BYTES)
    except OSError as error:
        raise ControlError(
            f"keys {path}: {error.strerror}; `jackdaw keys FOLDER --client NAME` makes some", "bad file"
        ) from error
    if secret and seen.st_mode & 0o077:
        raise ControlError(f"keys {path}: others may read them; `chmod 600 {path}`", "unsafe")
    try:
        table = tomllib.loads(data.decode())
    except ValueError as error:
        raise ControlError(f"keys {path}: not a file of keys ({error})", "bad file") from error
    keys = [table.get(name) for name in names]
    if not all(isinstance(key, str) and _KEY.fullmatch(key) for key in keys):
        raise ControlError(f"keys {path}: {', '.join(names)} must be there, keys of 40 characters", "bad file")
    return [str(key).encode() for key in keys]


def make_keys(folder: Path, client: str) -> Path:
    """Make the keys of a client, and the engine's own if the folder has none.

    Parameters
    ----------
    folder
        Of the engine's keys; made (0700) if it is missing.
    client
        What to call the client: 1 to 64 letters, digits, ``_``, ``.`` or ``-``.

    Returns
    -------
    Path
        The file that the client needs.

    Raises
    ------
    ControlError
        If the name is none, or there are keys of that name.
    OSError
        If the folder cannot be written.
    """
    if not _NAME.fullmatch(client) or client == "server":
        raise ControlError(f"client name {client!r}: use letters, digits, '_', '.' and '-', not `server`", "bad value")
    listed, own = folder / "clients" / f"{client}.key", folder / f"{client}.key"
    for path in (listed, own):
        if path.exists():
            raise ControlError(f"{path} is there: remove it, or give the client another name", "in use")
    listed.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chmod(folder, 0o700)
    if not (folder / "server.key").exists():
        public, secret = zmq.curve_keypair()
        _write(folder / "server.key", 0o600, {"public": public, "secret": secret}, "jackdaw: the engine's keys; secret")
    server, _ = load_server(folder)
    public, secret = zmq.curve_keypair()
    keys = {"public": public, "secret": secret, "server": server}
    _write(own, 0o600, keys, f"jackdaw: keys of client {client}; secret")
    _write(listed, 0o644, {"public": public}, f"jackdaw: client {client}")
    return own


def load_server(folder: Path) -> tuple[bytes, bytes]:
    """Return the engine's public and secret key."""
    public, secret = _read(folder / "server.key", "public", "secret", secret=True)
    return public, secret


def load_client(path: Path) -> tuple[bytes, bytes, bytes]:
    """Return a client's public and secret key, and its engine's public key."""
    public, secret, server = _read(path, "public", "secret", "server", secret=True)
    return public, secret, server


class DoorKeeper:
    """Lets in who is on the list. One thread: that of the sockets it guards.

    Parameters
    ----------
    context
        Of the sockets.
    folder
        Of the engine's keys.
    """

    def __init__(self, context: "zmq.Context[Any]", folder: Path) -> None:
        self._folder = folder
        self._public, self._secret = load_server(folder)
        self.socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(_ZAP_ADDRESS)

    def guard(self, socket: "zmq.Socket[bytes]") -> None:
        """Let a socket ask for keys; to be called before it is bound."""
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self._public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self._secret)
        socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)

    def answer(self) -> tuple[str, str | None]:
        """Answer one question at the door; return the address of who asked and the client's name, None if refused."""
        version, number, domain, address, _, mechanism, *credentials = self.socket.recv_multipart()
        name = None
        if domain == DOMAIN and mechanism == b"CURVE" and len(credentials) == 1:
            name = self._listed(z85.encode(credentials[0]))
        status = [b"400", b"not on the list", b""] if name is None else [b"200", b"", name.encode()]
        self.socket.send_multipart([version, number, *status, b""])
        return address.decode(errors="replace"), name

    def _listed(self, key: bytes) -> str | None:
        for path in sorted((self._folder / "clients").glob("*.key")):
            try:
                (public,) = _read(path, "public", secret=False)
            except ControlError:
                continue  # a file that is no key lets nobody in
            if public == key:
                return path.stem
        return None
