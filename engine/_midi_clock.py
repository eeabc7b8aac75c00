"""MIDI clock: from 24 ticks a beat, start, continue, stop and song position to a tempo and a beat (MIDI 1.0).

Bytes go in with the second at which they came (:meth:`MidiClock.take`), on any axis that does not run back; what time
it is comes out (:meth:`MidiClock.look`). A line through the last two beats of ticks gives tempo and phase. Its slope
is the median of the slopes between all pairs (Theil and Sen), so neither jitter nor a tick that comes late bends it
much; once the oldest or the newest half beat lies beside the line, the tempo has changed: the newest alone counts then.

Ticks that are lost, a gap of whole periods in a stream that goes on as before, are counted as if they had come. Memory
and work per byte are bounded, whatever comes.
"""

from collections import deque
from typing import NamedTuple

import numpy as np

__all__ = ["CONTINUE", "POSITION", "START", "STOP", "TICK", "TICKS", "MidiClock", "Now"]

TICKS = 24
"""Ticks in a beat."""

TICK, START, CONTINUE, STOP, POSITION = 0xF8, 0xFA, 0xFB, 0xFC, 0xF2
"""Status bytes."""

_STATUS, _REAL_TIME = 0x80, 0xF8
_PER_STEP = 6
"""Ticks in the unit of a song position, a sixteenth note."""
_WINDOW, _LEAST = 2 * TICKS + 1, TICKS // 2 + 1
_SILENCE_S = 1.0
_SLOWEST, _FASTEST = 30.0, 300.0
_GAP_S = 1.5 * 60.0 / _FASTEST / TICKS
_BESIDE_S = 0.004
_SURE = 0.008
"""A first line is believed once its slope is uncertain by less than this, or two beats have come."""
_AROUND, _NEAR = 3, 0.3
_PAIRS = {count: np.triu_indices(count, 1) for count in range(_LEAST, _WINDOW + 1)}


class Now(NamedTuple):
    """What the clock says: quarter notes a minute, quarters since the song began, and whether it runs."""

    bpm: float
    beat: float
    rolling: bool


class MidiClock:
    """See the module; one thread at a time.

    A clock that was never started rolls, and its first tick is the first of a bar. The tick after a start is the first
    of bar one. A clock that is silent for more than a second has stopped; when it comes back, it is a new one.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=_WINDOW)  # second and number of each tick
        self._next = 0
        self._at: float | None = None
        self._origin = 0  # number of the tick at which the song begins
        self._began = 0  # number of the first tick after a start or a continue: a gap before it lost none
        self._resting: int | None = None  # ticks of the song that are over, while it is stopped
        self._operands: list[int] | None = None  # of a song position that is coming
        self._line: tuple[float, float] | None = None  # second of tick 0, seconds a tick
        self._is_sure = False

    def take(self, at: float, data: bytes) -> None:
        """Take bytes that came at a second; what is no clock is passed over."""
        at = at if self._at is None else max(at, self._at)
        self._notice_silence(at)
        for byte in data:
            if byte < _STATUS:
                self._operand(byte)
            elif byte == TICK:
                self._tick(at)
            elif byte == START:
                self._origin, self._began, self._resting = self._next, self._next, None
            elif byte == CONTINUE and self._resting is not None:
                self._origin, self._began, self._resting = self._next - self._resting, self._next, None
            elif byte == STOP and self._resting is None:
                self._resting = self._next - self._origin
            elif byte < _REAL_TIME:
                self._operands = [] if byte == POSITION else None

    def look(self, at: float) -> Now | None:
        """Return what time it is at a second; None: no tempo is known."""
        self._notice_silence(at)
        line = self._fitted()
        if line is None or not _SLOWEST <= 60.0 / TICKS / max(line[1], 1e-9) <= _FASTEST:
            return None
        first, period = line
        ticks = (at - first) / period - self._origin if self._resting is None else self._resting
        return Now(60.0 / TICKS / period, ticks / TICKS, self._resting is None)

    def _tick(self, at: float) -> None:
        self._at, self._line = at, None
        self._seen.append((at, self._next))
        self._next += 1
        self._count_lost()

    def _notice_silence(self, at: float) -> None:
        """Forget the tempo, and where in the song a clock was that ran; one that was stopped may be continued."""
        if self._at is None or at - self._at <= _SILENCE_S:
            return
        self._seen.clear()
        self._is_sure = False
        self._at = self._line = None
        if self._resting is None:
            self._origin = self._next

    def _operand(self, byte: int) -> None:
        if self._operands is None:
            return
        self._operands.append(byte)
        if len(self._operands) == 2:
            low, high = self._operands
            ticks, self._operands = _PER_STEP * (low + 128 * high), None
            if self._resting is None:
                self._origin = self._next - ticks
            else:
                self._resting = ticks

    def _count_lost(self) -> None:
        """Look at the gap a few ticks ago: if it is of whole periods, and all around it is even, ticks were lost."""
        if len(self._seen) < max(_LEAST, 2 * _AROUND + 2):
            return
        before, (after, number) = self._seen[-_AROUND - 2][0], self._seen[-_AROUND - 1]
        if after - before < _GAP_S or number == self._began:
            return
        times = np.array([at for at, _ in self._seen])
        period = float(np.median(np.diff(times)))
        if period <= 0.0:
            return
        lost = round((after - before) / period) - 1
        spans = (times[-1] - after, before - times[-2 * _AROUND - 2], after - before)
        wanted = (_AROUND, _AROUND, lost + 1)
        if lost > 0 and all(abs(span / period - count) < _NEAR for span, count in zip(spans, wanted, strict=True)):
            for place in range(-_AROUND - 1, 0):
                at, number = self._seen[place]
                self._seen[place] = at, number + lost
            self._next += lost

    def _fitted(self) -> tuple[float, float] | None:
        """Return the line through the ticks: the second of tick 0, and seconds a tick; None: they tell too little."""
        while self._line is None and len(self._seen) >= _LEAST:
            times, numbers = np.array(self._seen).T
            left, right = _PAIRS[len(times)]
            period = float(np.median((times[right] - times[left]) / (numbers[right] - numbers[left])))
            rests = times - period * numbers
            first = float(np.median(rests))
            rests -= first
            noise = 1.5 * float(np.median(np.abs(rests)))
            usual = max(_BESIDE_S, noise)
            low, high = np.quantile([rests[:_LEAST], rests[-_LEAST:]], (0.2, 0.8), axis=1)
            if len(times) > _LEAST and (low.max() > usual or high.min() < -usual):
                while len(self._seen) > _LEAST:
                    self._seen.popleft()
            else:
                self._line = first, period
                # the standard error of a slope: noise over the root of the sum of squares about the mean
                error = noise * 12**0.5 / (len(times) ** 0.5 * max(times[-1] - times[0], 1e-9))
                self._is_sure = self._is_sure or error < _SURE or len(times) == _WINDOW
        return self._line if self._is_sure else None
