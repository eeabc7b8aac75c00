"""When a recording is: which of its frames was played at which time, as the drain thread can know it.

A frame that was not there yet when the drain thread began to read is played later than that. So each reading gives a
time that the recording's first frame can't be before; the latest of them are right to within a small part of a period.
The very latest are left out: those are of a block that came late itself. A sound card's clock is not the computer's:
the answer is given again when it is off by 5 ms.
"""

__all__ = ["TakeClock"]

_READINGS = 50
_LATEST = 5
_OFF_NS = 5_000_000


class TakeClock:
    """See the module; drain thread only.

    Parameters
    ----------
    rate
        Of the recording, in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._bounds: list[int] = []
        self._frames = 0
        self._told: int | None = None

    def read(self, begun_ns: int, frames: int) -> tuple[int, int] | None:
        """Take note of a reading; return a frame and the time at which it was played, if there is news.

        Parameters
        ----------
        begun_ns
            When the reading that emptied the ring began, monotonic.
        frames
            Length of the recording with it.
        """
        self._bounds.append(begun_ns - self._since_start(frames))
        self._frames = frames
        return self.news() if len(self._bounds) >= _READINGS else None

    def news(self) -> tuple[int, int] | None:
        """Return what the readings since the last answer come to, if that is news."""
        if not self._bounds:
            return None
        start = sorted(self._bounds)[-1 - min(_LATEST, len(self._bounds) // 2)]
        self._bounds = []
        if self._told is not None and abs(start - self._told) < _OFF_NS:
            return None
        self._told = start
        return self._frames, start + self._since_start(self._frames)

    def _since_start(self, frames: int) -> int:
        return frames * 1_000_000_000 // self._rate
