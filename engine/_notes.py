"""What the hands on the keyboard play: notes, pedals, drum pads and chords, step by step.

MIDI comes from two sides: messages that a client sends (:meth:`Notes.play`, any thread) count from the next step on;
those of the segment's MIDI ring (:meth:`Notes.queue`, device thread) are due at their frame of the input, so that a
note reaches the model in the step that hears the sound of that instant.

Every strike is one onset: a note that begins and ends within a step sounds for that step, and a note that is struck
again while it sounds pauses for one step, since a model sees only which notes are held. Channel 10 is for drums: a hit
there asks for drums and is no note.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from jackdaw.engine._midi import SYSTEM_RESET, Parser
from jackdaw.engine.chords import recognise
from jackdaw.engine.models.contract import Chord

__all__ = ["Notes", "Played"]

_NOTE_OFF, _NOTE_ON, _CONTROL, _PROGRAM = 0x80, 0x90, 0xB0, 0xC0
_DRUMS = 9
_PEDAL, _PEDAL_DOWN = 64, 64
_RESET_CONTROLLERS = 121
_MODES = 120
_ALL_OFF = (120, 123, 124, 125, 126, 127)
"""All sound off, all notes off, and the mode messages that imply it (MIDI 1.0, channel mode messages)."""
_DRUMS_S = 2.0
"""A hit asks for drums for so long: a bar at 120 beats per minute."""

_Key = tuple[int, int]


@dataclass(frozen=True)
class Played:
    """What is played during one step.

    Parameters
    ----------
    notes
        The notes that sound, 0..127: held by a finger or a pedal, or just struck.
    chord
        The chord that was struck last, until another one or a panic.
    drums
        Whether drums are asked for.
    """

    notes: frozenset[int] = frozenset()
    chord: Chord | None = None
    drums: bool = False


class Notes:
    """See the module.

    Parameters
    ----------
    on_control
        Called with the channel (0..15), number and value (0..127) of each controller that is none of the keyboard's.
    on_program
        Called with the number (1..128) of each program change; it must not wait.
    """

    def __init__(
        self,
        on_control: Callable[[int, int, int], None] = lambda *_: None,
        on_program: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._on_control = on_control
        self._on_program = on_program
        self._lock = threading.Lock()
        self._parser = Parser()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._down: set[_Key] = set()
        self._kept: set[_Key] = set()  # let go by the finger, not by the pedal
        self._pedals: set[int] = set()
        self._struck: set[int] = set()
        self._last: frozenset[int] = frozenset()
        self._chord: Chord | None = None
        self._drums_left_s = 0.0

    def play(self, messages: Iterable[bytes]) -> frozenset[int]:
        """Take whole messages as they are; return the notes that sound then."""
        with self._lock:
            for message in messages:
                self._take(message)
            return self._sounding()

    def queue(self, events: Iterable[tuple[int, bytes]]) -> None:
        """Keep bytes until their frame of the input is heard."""
        self._waiting.extend(events)

    def step(self, frame: int, seconds: float) -> Played:
        """Return what is played in a step of so many seconds that hears the input before `frame`."""
        with self._lock:
            while self._waiting and self._waiting[0][0] < frame:
                for message in self._parser.feed(self._waiting.popleft()[1]):
                    self._take(message)
            again = self._struck & self._last
            self._last = (self._sounding() | self._struck) - again
            self._struck = again
            drums = self._drums_left_s > 0.0
            self._drums_left_s = max(0.0, self._drums_left_s - seconds)
            return Played(self._last, self._chord, drums)

    def release(self) -> None:
        """Panic: let go of everything that is held, and of the chord; what waits for its frame stays."""
        with self._lock:
            self._release()

    def clear(self) -> None:
        """Let go of everything, also of what waits."""
        with self._lock:
            self._waiting.clear()
            self._parser = Parser()
            self._last = frozenset()
            self._release()

    @property
    def held(self) -> frozenset[int]:
        """The notes that sound, 0..127."""
        with self._lock:
            return self._sounding()

    @property
    def chord(self) -> Chord | None:
        """The chord that was struck last."""
        return self._chord

    def _sounding(self) -> frozenset[int]:
        return frozenset(note for _, note in self._down | self._kept)

    def _release(self) -> None:
        for keys in (self._down, self._kept, self._pedals, self._struck):
            keys.clear()
        self._chord, self._drums_left_s = None, 0.0

    def _take(self, message: bytes) -> None:
        if message == SYSTEM_RESET:
            self._release()
        if len(message) == 2 and message[0] & 0xF0 == _PROGRAM:
            self._on_program(message[1] + 1)
        if len(message) != 3:
            return
        kind, channel, number, value = message[0] & 0xF0, message[0] & 0x0F, message[1], message[2]
        if kind == _CONTROL:
            self._control(channel, number, value)
        elif channel == _DRUMS:
            if kind == _NOTE_ON and value > 0:
                self._drums_left_s = _DRUMS_S
        elif kind == _NOTE_ON and value > 0:
            self._strike(channel, number)
        elif kind in (_NOTE_OFF, _NOTE_ON) and (channel, number) in self._down:
            self._down.discard((channel, number))
            if channel in self._pedals:
                self._kept.add((channel, number))

    def _strike(self, channel: int, number: int) -> None:
        self._kept.discard((channel, number))
        self._down.add((channel, number))
        self._struck.add(number)
        # the fingers first: a pedal piles chord upon chord
        self._chord = recognise({n for _, n in self._down}) or recognise(self._sounding()) or self._chord

    def _control(self, channel: int, number: int, value: int) -> None:
        if number == _PEDAL and channel != _DRUMS and value >= _PEDAL_DOWN:
            self._pedals.add(channel)
        elif number in (_PEDAL, _RESET_CONTROLLERS):
            self._pedals.discard(channel)
            self._kept = {key for key in self._kept if key[0] != channel}
        elif number in _ALL_OFF:
            self._hush(channel)
        elif number < _MODES:
            self._on_control(channel, number, value)

    def _hush(self, channel: int) -> None:
        """Let go of a channel's notes, whatever its pedal says; with the last ones, of the chord."""
        self._down = {key for key in self._down if key[0] != channel}
        self._kept = {key for key in self._kept if key[0] != channel}
        if channel == _DRUMS:
            self._drums_left_s = 0.0
        elif not self._down and not self._kept:
            self._struck.clear()
            self._chord = None
