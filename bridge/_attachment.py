"""The client's hold on a session's segment: attach when the engine is there, see it die, take up the next one.

Control thread only. The audio thread renders silence until there is an engine, and fades when there is none any more.
"""

import contextlib
import os
from typing import Literal

from jackdaw.dsp import Client, SegmentBusy, SegmentError, SegmentInvalid, SegmentReader

__all__ = ["Attachment", "Change"]

Change = Literal["attached", "engine gone", "engine back", "replaced"]


class Attachment:
    """Keeps a renderer attached to the segment of a session.

    Parameters
    ----------
    session
        Name of the session.
    renderer
        What the audio thread renders with.

    Attributes
    ----------
    reader : SegmentReader or None
        The segment, once there is one.
    obstacle : str or None
        Why there is none: the text of the last failed attempt.
    busy : bool
        Whether the obstacle is another living client of this session.
    """

    def __init__(self, session: str, renderer: Client) -> None:
        self.reader: SegmentReader | None = None
        self.obstacle: str | None = None
        self.busy = False
        self._session = session
        self._renderer = renderer
        self._format = (0, 0)
        self._instance = 0
        self._alive = self._gone = False
        self._engine: int | None = None

    def set_format(self, rate: int, period: int) -> None:
        """Say what the audio server wants: Hz, and frames per period."""
        self._format = (rate, period)
        if self.reader is not None:
            self.reader.set_reader(rate, period)

    @property
    def engine(self) -> int | None:
        """A file descriptor that becomes readable when the engine dies, to hear of it at once; or None."""
        return self._engine

    def check(self) -> Change | None:
        """Look after the segment and the engine; return what has changed."""
        if self.reader is None:
            return "attached" if self._attach() else None
        self.reader.heartbeat()
        if self.reader.replaced():
            return "replaced" if self._attach() else None
        if self._gone:
            self._gone = False
            return "engine gone"
        alive = self.reader.writer_alive
        if self._alive and not alive:
            self._silence()
            self._gone = False
            return "engine gone"
        if alive and not self._alive:
            self._watch(self.reader)
            return "engine back"
        return None

    def engine_stirred(self) -> None:
        """Silence the music, as :attr:`engine` is readable; if the engine lives after all, it was another process's."""
        if self.reader is not None and not self.reader.writer_alive:
            self._silence()
        else:
            self._close_handle()

    def _silence(self) -> None:
        """Fade first: in a busy interpreter every further call may cost milliseconds."""
        self._renderer.engine_gone(self._instance)
        self._gone = True
        self._forget_engine()

    def _attach(self) -> bool:
        try:
            reader = SegmentReader.attach(self._session, self._renderer)
        except SegmentError as error:
            self.obstacle, self.busy = str(error), isinstance(error, SegmentBusy)
            if isinstance(error, SegmentInvalid):
                self.obstacle += "; the engine puts a valid one in its place when it starts"
            return False
        former, self.reader = self.reader, reader
        self.obstacle, self.busy = None, False
        if former is not None:
            former.close()
        reader.set_reader(*self._format)
        reader.arm(True)
        self._forget_engine()
        if reader.writer_alive:
            self._watch(reader)
        else:
            self._renderer.engine_gone(reader.writer_instance)
        return True

    def _watch(self, reader: SegmentReader) -> None:
        """Note which engine lives, and get a handle on its process; without one its lock is looked at now and then."""
        self._alive, self._instance = True, reader.writer_instance
        with contextlib.suppress(OSError):
            self._engine = os.pidfd_open(reader.writer_pid)

    def _forget_engine(self) -> None:
        self._alive = False
        self._close_handle()

    def _close_handle(self) -> None:
        if self._engine is not None:
            os.close(self._engine)
            self._engine = None

    def close(self) -> None:
        """Let go of the segment; the audio thread has stopped."""
        self._forget_engine()
        if self.reader is not None:
            self.reader.close()
            self.reader = None
