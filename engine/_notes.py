"""Which MIDI notes are held.

Notes come from two sides: messages that a client sends (:meth:`Notes.play`, any thread) hold from the next step on;
those of the segment's MIDI ring (:meth:`Notes.queue`, device thread) are due at their frame of the input, so that a
note reaches the model in the step that hears the sound of that instant.
"""

import threading
from collections import deque
from collections.abc import Iterable

__all__ = ["Notes"]

_NOTE_OFF, _NOTE_ON, _CONTROL = 0x80, 0x90, 0xB0
_ALL_OFF = (120, 123)
"""All sound off, all notes off (MIDI 1.0, channel mode messages)."""


class Notes:
    """See the module. Sustain is ignored."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._down: set[tuple[int, int]] = set()
        self._struck: set[int] = set()
        self._waiting: deque[tuple[int, bytes]] = deque()

    def play(self, messages: Iterable[bytes]) -> frozenset[int]:
        """Take messages as they are; return the notes that are held then."""
        with self._lock:
            for message in messages:
                self._take(message)
            return self._held()

    def queue(self, events: Iterable[tuple[int, bytes]]) -> None:
        """Keep messages until their frame of the input is heard."""
        self._waiting.extend(events)

    def step(self, frame: int) -> frozenset[int]:
        """Return the notes of a step that hears the input before `frame`: what is held, and what was just struck."""
        with self._lock:
            while self._waiting and self._waiting[0][0] < frame:
                self._take(self._waiting.popleft()[1])
            held = self._held() | self._struck
            self._struck.clear()
            return held

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._waiting.clear()
            self._down.clear()
            self._struck.clear()

    @property
    def held(self) -> frozenset[int]:
        """The notes that are held, 0..127."""
        with self._lock:
            return self._held()

    def _held(self) -> frozenset[int]:
        return frozenset(note for _, note in self._down)

    def _take(self, message: bytes) -> None:
        if len(message) != 3:
            return
        kind, channel, number = message[0] & 0xF0, message[0] & 0x0F, message[1]
        if kind == _NOTE_ON and message[2] > 0:
            self._down.add((channel, number))
            self._struck.add(number)
        elif kind in (_NOTE_OFF, _NOTE_ON):
            self._down.discard((channel, number))
        elif kind == _CONTROL and number in _ALL_OFF:
            self._down = {key for key in self._down if key[0] != channel}
