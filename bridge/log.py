"""Log lines of the bridge: one JSON object a line on stderr, with ``ts level room session event`` and free fields.

A line of level ``error`` ends the process and carries ``text``, which says to the user what is wrong and what to do.
Any thread but the audio thread may log; a line is one write, so lines never mix.
"""

import json
import os
import sys
import time
from typing import Any

__all__ = ["Log"]


class Log:
    """Writes the lines of one session.

    Parameters
    ----------
    session
        Name of the session.
    """

    def __init__(self, session: str) -> None:
        self._session = session

    def write(self, level: str, event: str, **fields: Any) -> None:
        """Write a line: `level` is ``info``, ``warning`` or ``error``."""
        line = {"ts": round(time.time(), 3), "level": level, "room": "bridge", "session": self._session, "event": event}
        os.write(sys.stderr.fileno(), (json.dumps({**line, **fields}, default=str) + "\n").encode())

    def info(self, event: str, **fields: Any) -> None:
        """Say what happened."""
        self.write("info", event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Say what went wrong and was mended, or waits for someone."""
        self.write("warning", event, **fields)
