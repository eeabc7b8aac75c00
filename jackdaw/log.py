"""Log lines of engine and bridge: one JSON object a line on stderr, with ``ts level room session event`` and more.

A line of level ``error`` ends the process and carries ``text``, which says to the user what is wrong and what to do.
Any thread but the audio thread may log; a line is one write, so lines never mix.
"""

import json
import os
import time
from typing import Any

__all__ = ["Log"]

_STDERR = 2


class Log:
    """Writes the lines of one room.

    Parameters
    ----------
    room
        Who speaks, e.g. ``engine``.
    session
        Name of the session, or of the engine, put into every line.
    """

    def __init__(self, room: str, session: str) -> None:
        self._room = room
        self._session = session

    def write(self, level: str, event: str, **fields: Any) -> None:
        """Write a line: `level` is ``info``, ``warning`` or ``error``."""
        line = {"ts": round(time.time(), 3), "level": level, "room": self._room, "session": self._session}
        os.write(_STDERR, (json.dumps({**line, "event": event, **fields}, default=str) + "\n").encode())

    def info(self, event: str, **fields: Any) -> None:
        """Say what happened."""
        self.write("info", event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Say what went wrong and was mended, or waits for someone."""
        self.write("warning", event, **fields)

    def failure(self, event: str, text: str, **fields: Any) -> None:
        """Say what ends the process; `text` names the thing, what is wrong and what to do."""
        self.write("error", event, text=text, **fields)
