"""A client of the New Session Manager: a studio's session that is saved and opened again brings its jam back.

``NSM_URL`` says where the manager listens (nsmd, RaySession). It is told who we are, says under which name and where to
keep the jam, and later when to save. OSC over UDP, from one socket, which only the supervisor's loop uses; the
protocol is the NSM API, version 1.1 (https://new-session-manager.jackaudio.org/api).
"""

import os
import re
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pythonosc.osc_message import OscMessage, ParseError
from pythonosc.osc_message_builder import OscMessageBuilder

from jackdaw.cli._errors import UserError

__all__ = ["BAD_PROJECT", "CREATE_FAILED", "GENERAL", "NOT_NOW", "Manager", "Place"]

GENERAL, NOT_NOW, BAD_PROJECT, CREATE_FAILED = -1, -8, -9, -10
"""Codes of ``/error`` (NSM API, section 2.5)."""

_API = (1, 1)
_NAME = "jackdaw"
_ANNOUNCE, _OPEN, _SAVE = "/nsm/server/announce", "/nsm/client/open", "/nsm/client/save"
_ANSWER_S = 5.0
_LONGEST = 65536


@dataclass(frozen=True)
class Place:
    """What a manager gave us.

    Parameters
    ----------
    folder
        Where the jam is kept; it need not be there yet.
    name
        Of the manager's session, for people.
    client
        Name for our JACK client, and for nothing else.
    """

    folder: Path
    name: str
    client: str

    @property
    def session(self) -> str:
        """Our own session's name, made from the client's."""
        return re.sub("[^a-z0-9]", "-", self.client.lower())[-32:]

    @property
    def preset(self) -> Path:
        """The file that the jam is kept in."""
        return self.folder / "jam.toml"


class Manager:
    """The manager at the other end.

    Parameters
    ----------
    url
        As in ``NSM_URL``: ``osc.udp://host:port/``.

    Raises
    ------
    UserError
        If that is no such address, or the manager refuses us.
    """

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            if parts.scheme != "osc.udp" or not parts.hostname or not parts.port:
                raise ValueError("it is not like osc.udp://host:port/")
            found = socket.getaddrinfo(parts.hostname, parts.port, type=socket.SOCK_DGRAM)[0]
            self._socket = socket.socket(found[0], socket.SOCK_DGRAM)
            self._socket.connect(found[4])
        except (ValueError, OSError) as error:
            raise UserError(f"NSM_URL is {url!r}: {error}; unset it to play without a session manager") from error
        self._dirty: bool | None = None
        self._save_asked = False

    @classmethod
    def from_environment(cls) -> "Manager | None":
        """Return the manager that ``NSM_URL`` names, if it does."""
        url = os.environ.get("NSM_URL")
        return cls(url) if url else None

    def announce(self) -> Place | None:
        """Say who we are, and wait until we are told where to keep the jam; None: no manager answers.

        Raises
        ------
        UserError
            If the manager refuses us.
        """
        started_as = Path(sys.argv[0]).name
        program = _NAME if started_as == "__main__.py" else started_as
        self._send(_ANNOUNCE, _NAME, ":dirty:message:", program, *_API, os.getpid())
        deadline = time.monotonic() + _ANSWER_S
        while (left := deadline - time.monotonic()) > 0:
            message = self._receive(left)
            if message is None:
                continue
            address, given = message
            if address == "/error" and given[:1] == [_ANNOUNCE]:
                raise UserError(f"the session manager says no: {given[-1]}")
            if address == "/reply" and given[:1] == [_ANNOUNCE]:
                deadline = time.monotonic() + _ANSWER_S
            if address == _OPEN and len(given) == 3 and all(isinstance(value, str) for value in given):
                return Place(folder=Path(given[0]), name=given[1], client=given[2])
        return None

    def opened(self) -> None:
        """Say that the jam is open, and as it was saved."""
        self._send("/reply", _OPEN, "open")
        self.tell_dirty(False)

    def refuse_open(self, code: int, text: str) -> None:
        """Say that the jam cannot be opened."""
        self._send("/error", _OPEN, code, text)

    def tell_dirty(self, dirty: bool) -> None:
        """Say whether there is something to save, if that is news."""
        if dirty is not self._dirty:
            self._dirty = dirty
            self._send("/nsm/client/is_dirty" if dirty else "/nsm/client/is_clean")

    def message(self, text: str) -> None:
        """Show a text to the user."""
        self._send("/nsm/client/message", 0, text)

    def look(self, save: Callable[[], None]) -> None:
        """Do what the manager has asked for since the last look.

        Parameters
        ----------
        save
            Saves the jam; what it raises (UserError: not now, OSError, ValueError) the manager shows.
        """
        while (message := self._receive(0.0)) is not None:
            if message[0] == _OPEN:
                self.refuse_open(NOT_NOW, "a jam is open: start another one for another session")
            elif message[0] == _SAVE:
                self._save(save)

    def _save(self, save: Callable[[], None]) -> None:
        try:
            save()
        except UserError as error:
            self._send("/error", _SAVE, NOT_NOW, str(error))
        except (OSError, ValueError) as error:
            self._send("/error", _SAVE, CREATE_FAILED, str(error))
        else:
            self._send("/reply", _SAVE, "saved")
            self.tell_dirty(False)

    def _send(self, address: str, *values: str | int) -> None:
        builder = OscMessageBuilder(address)
        for value in values:
            builder.add_arg(value)
        try:
            self._socket.send(builder.build().dgram)
        except ConnectionRefusedError:  # the manager has gone: the jam goes on without it
            self._dirty = None

    def _receive(self, timeout: float) -> tuple[str, list[Any]] | None:
        """Return the next message, address and values; None if none came, or none that can be read."""
        self._socket.settimeout(timeout)
        try:
            message = OscMessage(self._socket.recv(_LONGEST))
        except (TimeoutError, BlockingIOError, ConnectionRefusedError, ParseError, ValueError, IndexError):
            return None
        return message.address, list(message)

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
