"""Log lines: one JSON object a line on stderr, with ``ts level room event`` and free fields; ``text`` is for users.

Any thread may log; a line is written with one call, so lines never mix.
"""

import json
import sys
import threading
import time
from typing import Any

__all__ = ["Log"]


class Log:
    """Writes the lines of one room.

    Parameters
    ----------
    room
        Who speaks, e.g. ``engine``.
    session
        Name of the session, put into every line.
    """

    def __init__(self, room: str, session: str) -> None:
        self._room = room
        self._session = session
        self._lock = threading.Lock()

    def info(self, event: str, **fields: Any) -> None:
        """Log what happened."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log what went wrong and was mended."""
        self._write("warning", event, fields)

    def failure(self, event: str, text: str, **fields: Any) -> None:
        """Log what ends the process; `text` names the thing, what is wrong and what to do."""
        self._write("error", event, {"text": text, **fields})

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        line = {
            "ts": round(time.time(), 3),
            "level": level,
            "room": self._room,
            "session": self._session,
            "event": event,
            **fields,
        }
        with self._lock:
            sys.stderr.write(json.dumps(line, default=str) + "\n")
            sys.stderr.flush()
