"""Ours as JACK's timebase master: bars and beats of the transport, at the tempo that the engine was told.

Control thread. What is told goes to the native core, whose callback counts on the audio thread (:file:`timebase.h`).
"""

from typing import Any

import jack

from jackdaw.bridge import _libjack
from jackdaw.dsp import ToldTime, ffi, lib

__all__ = ["Timebase"]

_STAYS = -1.0
_NOW = 0


class Timebase:
    """A grid of bars and beats; outlives the JACK client.

    Parameters
    ----------
    bpm
        Tempo to begin with, 1..1000.
    beats_per_bar
        1..64.

    Raises
    ------
    MemoryError
        If there is none.
    """

    def __init__(self, bpm: float, beats_per_bar: int) -> None:
        self.pointer: Any = lib.jd_timebase_new(bpm, beats_per_bar)
        if self.pointer == ffi.NULL:
            raise MemoryError("no memory for the timebase")
        self._seen: ToldTime | None = None

    def lead(self, client: jack.Client) -> bool:
        """Make an active client the timebase master; False: another one is."""
        return _libjack.lead_time(client, self.pointer)

    def follow(self, told: ToldTime | None, client: jack.Client) -> None:
        """Take up what the engine was told last; a start or stop starts or stops the studio's transport."""
        before, self._seen = self._seen, told
        if told is None or told == before:
            return
        starts = told.rolling and (before is None or not before.rolling)
        beat, ns = (told.beat, told.ns) if told.rolling else (_STAYS, _NOW)
        if starts and told.beat == 0.0:
            ns = _NOW  # a bar begins with the start: it begins when the transport does
        lib.jd_timebase_tell(self.pointer, ffi.new("jd_beat *", (told.bpm, beat, told.beats_per_bar, ns)))
        if starts:
            client.transport_start()
        elif before is not None and before.rolling and not told.rolling:
            client.transport_stop()

    def close(self) -> None:
        """Free the grid; no callback may come any more. Closing twice is allowed."""
        if self.pointer is not None:
            lib.jd_timebase_free(self.pointer)
            self.pointer = None
