"""Musical time: where the bar is when a frame of the output ring is heard.

Two sides may tell it. The audio thread writes the studio's transport into the segment at the start of each block,
right after the clock anchor: the two are of one instant, so the output frame of the anchor stands at the transport's
position, and frames count on from there. A client may instead send a message (:meth:`MusicalTime.tell`), which runs on
by itself. It counts as long as the segment tells no tempo.

Beats are those of the time signature and counted from 0 within the bar; ``bpm`` counts the same beats. Positions are
rounded to a ten-thousandth of a beat, so that they do not depend on the block from which they were counted.
"""

import math
import statistics
import threading
import time
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from jackdaw.engine._midi_clock import Now
from jackdaw.engine.models.contract import Clock

if TYPE_CHECKING:
    from jackdaw.dsp import Anchor, SegmentWriter, Transport

__all__ = ["MusicalTime"]

_STALE_NS = 1_000_000_000
_SLOWEST, _FASTEST = 30.0, 300.0
_TRIES = 4
_TIE = 1e-8
"""Beats by which a position may be wrong where it lies midway between two."""
_TAPS = 9
_WAVERS = 0.003
"""By this part of itself the tempo of a MIDI clock may waver without being another."""


@dataclass(frozen=True)
class _Told:
    bpm: float
    beat: float
    beats_per_bar: int
    rolling: bool
    frame: int
    ns: int


def _rounded(beat: float, beats: int) -> float:
    """Return a position in the bar to a ten-thousandth of a beat; halves of that, which are common, go up."""
    return round(beat % beats + _TIE, 4) % beats


def _counts(transport: "Transport") -> bool:
    """Return whether the studio's transport rolls at a tempo that can be played to."""
    return transport.rolling and _SLOWEST <= transport.bpm <= _FASTEST


def _bar_of(transport: "Transport") -> int:
    """Return the beats of a bar of the studio's, as models know them."""
    return max(2, min(12, round(transport.beats_per_bar)))


class MusicalTime:
    """See the module; any thread.

    Parameters
    ----------
    writer
        The engine's side of the segment.
    """

    def __init__(self, writer: "SegmentWriter") -> None:
        self._writer = writer
        self._told: _Told | None = None
        self._follows = False
        self._lock = threading.Lock()
        self._taps: list[float] = []
        self._tapped = 0

    def tell(self, bpm: float, beat: float, beats_per_bar: int, rolling: bool) -> None:
        """Set the time of a client that does not write it into the segment: `beat` is now.

        Raises
        ------
        ValueError
            If a value is out of range.
        """
        if not (_SLOWEST <= bpm <= _FASTEST and 2 <= beats_per_bar <= 12 and 0.0 <= beat < beats_per_bar):
            raise ValueError(
                f"transport of {bpm:g} bpm at beat {beat:g} of {beats_per_bar}: give {_SLOWEST:g} to {_FASTEST:g} bpm, "
                f"2 to 12 beats, and a beat from 0 on that lies in the bar"
            )
        self._follows = False
        self._set(_Told(bpm, beat, beats_per_bar, rolling, self.now, time.monotonic_ns()))

    def follow(self, now: Now | None, frame: int, rate: int) -> None:
        """Set the time that a MIDI clock tells at an input frame, at `rate` Hz; None: there is none, or it has ceased.

        It counts whenever it rolls; bars are of as many beats as were told last.
        """
        anchor, told = self._writer.anchor, self._told
        if now is None:
            if self._follows and told is not None:
                self._set(replace(told, rolling=False))
            self._follows = False
        elif anchor is not None and (now.rolling or self._follows or told is None):
            beats = 4 if told is None else told.beats_per_bar
            since = frame - anchor.in_frame
            ns = anchor.ns + round(since / rate * 1e9)
            steady = told is not None and self._follows and abs(now.bpm / told.bpm - 1.0) < _WAVERS
            bpm = told.bpm if told is not None and steady else now.bpm
            self._set(_Told(bpm, now.beat, beats, now.rolling, self._out_frame(anchor, rate) + since, ns))
            self._follows = True

    def _set(self, told: _Told) -> None:
        with self._lock:
            self._told = told
            self._writer.tell(
                rolling=told.rolling,
                bpm=told.bpm,
                beat=told.beat % told.beats_per_bar,
                beats_per_bar=told.beats_per_bar,
                ns=told.ns,
            )

    def tap(self, now: float, beats_per_bar: int = 4) -> float | None:
        """Take a tap at a monotonic time in seconds: a beat, the first of a run being the first of a bar.

        From the second tap on the time rolls at the median of the intervals; return its beats per minute, or None: this
        was the first tap, or they are too far apart or too close.
        """
        if self._taps and not 60.0 / _FASTEST <= now - self._taps[-1] <= 60.0 / _SLOWEST:
            self._taps = []
        self._taps = [*self._taps[-_TAPS + 1 :], now]
        self._tapped = self._tapped + 1 if len(self._taps) > 1 else 0
        if len(self._taps) < 2:
            return None
        bpm = min(max(60.0 / statistics.median(b - a for a, b in pairwise(self._taps)), _SLOWEST), _FASTEST)
        self.tell(bpm, float(self._tapped % beats_per_bar), beats_per_bar, True)
        return bpm

    @property
    def now(self) -> int:
        """The output frame that is played next."""
        return max(self._writer.out_read, self._writer.epoch_start)

    def begin_epoch(self, now: int, start: int) -> None:
        """Let what a message said of frame `now` hold of `start`: a new epoch skips what lies between."""
        if self._told is not None:
            self._told = replace(self._told, frame=self._told.frame + start - now)

    def clock(self, frame: int, rate: int, *, studio: bool = True) -> Clock | None:
        """Return the time at which an output frame is heard; None if the transport is stopped or has no tempo.

        Parameters
        ----------
        frame
            Of the output ring.
        rate
            Of the ring, in Hz.
        studio
            Whether to look into the segment at all.
        """
        anchor, transport = self._studio()
        if studio and transport.bpm and anchor is not None:
            if not _counts(transport):
                return None
            beats, bpm = _bar_of(transport), transport.bpm
            beat = transport.beat - 1 + transport.tick + self._until(frame, rate, anchor) * bpm / 60.0
        elif self._told is not None and self._told.rolling:
            beats, bpm = self._told.beats_per_bar, self._told.bpm
            beat = self._told_beat(self._told, frame, rate, anchor)
        else:
            return None
        # last of all, so that equal times are equal numbers
        return Clock(bpm=bpm, beat=_rounded(beat, beats), beats_per_bar=beats)

    def instant(self) -> tuple[int, Clock] | None:
        """Return a time in monotonic ns, and where the bar was then; None if the transport stands or has no tempo."""
        anchor, transport = self._studio()
        told = self._told
        if transport.bpm and anchor is not None:
            if not _counts(transport):
                return None
            beats = _bar_of(transport)
            beat = (transport.beat - 1 + transport.tick) % beats
            return anchor.ns, Clock(bpm=transport.bpm, beat=beat, beats_per_bar=beats)
        if transport.bpm or told is None or not told.rolling:
            return None
        now = time.monotonic_ns()
        beat = told.beat + (now - told.ns) / 1e9 * told.bpm / 60.0
        return now, Clock(bpm=told.bpm, beat=beat % told.beats_per_bar, beats_per_bar=told.beats_per_bar)

    def status(self, rate: int) -> dict[str, Any]:
        """Return where the bar is now: ``rolling``, ``bpm`` (0 = no tempo), ``bar`` (from 1, 0 = unknown), ``beat``."""
        anchor, transport = self._studio()
        told = self._told
        if told is not None and not transport.bpm:
            beat = told.beat
            if told.rolling:
                beat = self._told_beat(told, self.now, rate, anchor)
            bar = math.floor(beat / told.beats_per_bar) + 1
            return {"rolling": told.rolling, "bpm": told.bpm, "bar": bar, "beat": beat % told.beats_per_bar}
        beat = transport.beat - 1 + transport.tick if transport.bpm else 0.0
        bar = transport.bar if transport.bpm else 0
        return {"rolling": transport.rolling, "bpm": transport.bpm, "bar": bar, "beat": beat}

    def _studio(self) -> "tuple[Anchor | None, Transport]":
        """Return the anchor and the transport of one block; a transport that is not told any more has stopped."""
        writer = self._writer
        anchor, transport = writer.anchor, writer.transport
        for _ in range(_TRIES):  # the audio thread may be between the two
            before = anchor, transport
            anchor, transport = writer.anchor, writer.transport
            if before == (anchor, transport):
                break
        if anchor is not None and anchor.ns - transport.ns > _STALE_NS:
            return anchor, type(transport)()
        return anchor, transport

    def _told_beat(self, told: _Told, frame: int, rate: int, anchor: "Anchor | None") -> float:
        """Return the beat of a message when a frame is heard: by the wall clock; offline, and of ticks, by frames."""
        if anchor is None or self._writer.freewheeling or self._follows:
            seconds = (frame - told.frame) / rate
        else:
            seconds = (anchor.ns - told.ns) / 1e9 + self._until(frame, rate, anchor)
        return told.beat + seconds * told.bpm / 60.0

    def _until(self, frame: int, rate: int, anchor: "Anchor") -> float:
        """Return the seconds from the anchor until an output frame is heard."""
        return (frame - self._out_frame(anchor, rate)) / rate

    def _out_frame(self, anchor: "Anchor", rate: int) -> int:
        """Return the output frame that is heard at the anchor; an epoch begins with the block that comes next."""
        start = self._writer.epoch_start
        if anchor.out_frame >= start:
            return anchor.out_frame
        return start - round((time.monotonic_ns() - anchor.ns) / 1e9 * rate)
