"""MIDI clock: tempo and beat of another device, from the frames at which its ticks arrive.

24 ticks make a quarter note, which is the beat (MIDI 1.0, system real time messages). A line through the newest ticks
gives the tempo and the beat, so that a tick that is late by a millisecond moves neither. Start puts the next tick on
the first beat of a bar, continue goes on from where it stopped or from the song position that was told last. Stop
stops, and so does a silence of a second. Nothing here keeps more than the ticks of two beats.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

__all__ = ["MidiClock", "Pulse"]

_TICK, _START, _CONTINUE, _STOP = 0xF8, 0xFA, 0xFB, 0xFC
_POSITION = 0xF2
_PER_BEAT, _PER_SIXTEENTH = 24, 6
_KEPT, _FEWEST = 49, 13
_LOST_S = 1.0
_GAP, _GAP_S = 3.0, 0.02
_SLOWEST, _FASTEST = 30.0, 300.0


@dataclass(frozen=True)
class Pulse:
    """What a clock says.

    Parameters
    ----------
    bpm
        Beats per minute.
    beat
        Beats since the start at `frame`.
    frame
        Of the input.
    rolling
        Whether it goes on.
    """

    bpm: float
    beat: float
    frame: int
    rolling: bool


class MidiClock:
    """Takes messages with their frames; one thread."""

    def __init__(self) -> None:
        self._ticks: deque[int] = deque(maxlen=_KEPT)
        self._count = 0  # ticks since the start, the newest included
        self._rolls = True  # a clock that never says start is followed from its first tick
        self._told: Pulse | None = None

    def take(self, frame: int, message: bytes, rate: int) -> Pulse | None:
        """Take one message; return what the clock says now if that is to be told: once a beat, and at a stop.

        Parameters
        ----------
        frame
            Of the input at which it came.
        message
            With its status; what is none of a clock's is ignored.
        rate
            Of the input, in Hz.
        """
        kind = message[0] if message else 0
        if kind == _TICK:
            return self._tick(frame, rate)
        if kind == _START:
            self._count, self._rolls = 0, True
        elif kind == _CONTINUE:
            self._rolls = True
        elif kind == _STOP:
            self._rolls = False
            return self._stopped(frame)
        elif kind == _POSITION and len(message) == 3 and not self._rolls:
            self._count = _PER_SIXTEENTH * (message[1] | message[2] << 7)
        return None

    def look(self, frame: int, rate: int) -> Pulse | None:
        """Return a stop if no tick has come for a second before `frame`, once."""
        lost = bool(self._ticks) and frame - self._ticks[-1] > _LOST_S * rate
        if not lost:
            return None
        self._ticks.clear()
        return self._stopped(frame)

    def _stopped(self, frame: int) -> Pulse | None:
        told, self._told = self._told, None
        return None if told is None else Pulse(told.bpm, told.beat, frame, False)

    def _tick(self, frame: int, rate: int) -> Pulse | None:
        gap = frame - self._ticks[-1] if self._ticks else 0
        usual = self._ticks[-1] - self._ticks[-2] if len(self._ticks) > 1 else gap
        if gap <= 0 or gap > max(_GAP * usual, _GAP_S * rate):
            self._ticks.clear()
        self._ticks.append(frame)
        if not self._rolls:
            return None
        self._count += 1
        enough = len(self._ticks) >= _FEWEST
        if not enough or (self._told is not None and (self._count - 1) % _PER_BEAT):
            return None
        spacing, newest = np.polyfit(np.arange(1 - len(self._ticks), 1), np.array(self._ticks) - frame, 1)
        bpm = 60.0 * rate / (_PER_BEAT * max(float(spacing), 1.0))
        if not _SLOWEST <= bpm <= _FASTEST:
            return None
        beat = (self._count - 1 - float(newest) / float(spacing)) / _PER_BEAT
        self._told = Pulse(bpm, beat, frame, True)
        return self._told
