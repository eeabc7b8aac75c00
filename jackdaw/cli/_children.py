"""Child processes of a jam: started, watched, started again with back-off, and stopped in order."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from jackdaw.cli._errors import UserError
from jackdaw.engine._parent import end_with_parent

__all__ = ["Child", "log_path"]

_BACK_OFF_S = (0.0, 0.2, 1.0, 2.0)
_CALM_S = 20.0
_STOP_S = 5.0


def log_path(session: str, room: str) -> Path:
    """Return where a child's log goes: ``$XDG_STATE_HOME/jackdaw/<session>-<room>.log``."""
    base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "jackdaw" / f"{session}-{room}.log"


def _last_error(path: Path) -> str:
    """Return the text of the newest error in a log of JSON lines, or its last line."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-200:]
    for line in reversed(lines):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") == "error":
            return str(entry.get("text") or entry.get("event"))
    return lines[-1] if lines else "no output"


class Child:
    """One child process that is kept alive.

    Parameters
    ----------
    room
        ``engine`` or ``bridge``; also the name of its log.
    session
        Name of the session.
    command
        Arguments for the Python interpreter.

    Notes
    -----
    A child that ends with exit code 1 or 2 within its first start, or dies four times in a row without 20 s of calm,
    is given up: what its log says is raised as a :class:`UserError`.
    """

    def __init__(self, room: str, session: str, command: Sequence[str]) -> None:
        self.room = room
        self.restarts = 0
        self._command = [sys.executable, *command]
        self._log = log_path(session, room)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._next_start = 0.0
        self._failures = 0

    def start(self) -> None:
        """Start the process; its log is begun anew with the first start."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        mode = "wb" if self.restarts == 0 else "ab"
        log: IO[bytes]
        with self._log.open(mode) as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent,  # noqa: PLW1509 - the supervisor has one thread
            )
        self._started = time.monotonic()

    def keep_alive(self) -> None:
        """Start the process again if it has died.

        Raises
        ------
        UserError
            If it refuses to run; the text is its own last word.
        """
        if self._process is None:
            if time.monotonic() >= self._next_start:
                self.restarts += 1
                self.start()
            return
        code = self._process.poll()
        if code is None:
            return
        self._process = None
        if code in (1, 2) and self.restarts == 0:
            raise UserError(f"the {self.room} did not start: {_last_error(self._log)}", code=code)
        self._failures = 1 if time.monotonic() - self._started > _CALM_S else self._failures + 1
        if self._failures > len(_BACK_OFF_S):
            raise UserError(f"the {self.room} keeps dying: {_last_error(self._log)} (log: {self._log})")
        self._next_start = time.monotonic() + _BACK_OFF_S[self._failures - 1]

    def stop(self, forced: Callable[[], bool]) -> None:
        """Ask the process to stop, and make it after 5 s or as soon as `forced` says so."""
        if self._process is None:
            return
        self._process.terminate()
        deadline = time.monotonic() + _STOP_S
        while self._process.poll() is None:
            if forced() or time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                break
            time.sleep(0.02)
        self._process = None
