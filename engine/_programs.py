"""Program changes: a preset is loaded when a keyboard or a pedal asks for its number.

The device thread leaves a number here (:meth:`Programs.change`); reading, embedding and loading happen on a thread of
their own, one at a time, and of a burst the last number wins. What goes wrong is logged and told in the status, and
leaves the music as it was.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jackdaw.engine import presets
from jackdaw.engine._errors import HostError

__all__ = ["Programs"]


class Programs:
    """See the module.

    Parameters
    ----------
    load
        Loads a preset, with its name, into the session, wholly or not at all.
    say
        Logs an event with fields.
    """

    def __init__(self, load: Callable[[presets.Preset, str], None], say: Callable[..., None]) -> None:
        self._load = load
        self._say = say
        self._lock = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._wanted: int | None = None
        self._told: dict[str, Any] | None = None

    def change(self, number: int) -> None:
        """Load the preset of a program number, 1..128, soon. Any thread; does not wait."""
        with self._lock:
            before, self._wanted = self._wanted, number
            if before is not None:
                return
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1, "programs")
            self._thread.submit(self._follow)

    def status(self) -> dict[str, Any] | None:
        """Return ``number``, ``preset`` and ``error`` of the last program change; None before the first."""
        return self._told

    def close(self) -> None:
        """End the thread; what it is at is not waited for."""
        with self._lock:
            if self._thread is not None:
                self._thread.shutdown(wait=False, cancel_futures=True)

    def _follow(self) -> None:
        with self._lock:
            number, self._wanted = self._wanted, None
        assert number is not None
        name, error = None, None
        try:
            path = presets.of_program(number)
            if path is not None:
                name = path.stem
                self._load(presets.read(path), name)
        except (ValueError, OSError, HostError) as trouble:
            error = str(trouble)
        self._told = {"number": number, "preset": name, "error": error}
        self._say("program", number=number, preset=name, error=error)
