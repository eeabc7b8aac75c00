"""What a session tells about itself. The device thread notes, any thread reads; references are exchanged whole."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from jackdaw.engine._pacing import StepTimes
from jackdaw.engine._stream import Stream
from jackdaw.engine.models.contract import StreamSpec

if TYPE_CHECKING:
    from jackdaw.dsp import SegmentWriter

__all__ = ["Report"]

_UNDERRUN_GRACE_S = 1.0
_ANY_RATE = 48000


class Report:
    """The notes of one session.

    Parameters
    ----------
    writer
        The engine's side of the segment.
    times
        Of its steps.
    """

    def __init__(self, writer: "SegmentWriter", times: StepTimes) -> None:
        self._writer = writer
        self._times = times
        self._first_sound: tuple[int, float] | None = None
        self._underruns_at_start: int | None = None
        self._heard: dict[str, Any] = {"frame": 0, "ns": 0, "tokens": []}

    def note_heard(self, codes: NDArray[np.int32], frame: int) -> None:
        """Note the codes of the newest frame that the model was told was played, shape (levels,), and its number."""
        self._heard = {"frame": frame, "ns": time.monotonic_ns(), "tokens": [int(code) for code in codes]}

    def watch(self, stream: Stream) -> bool:
        """Note when the first sound was played, and the underruns a second later; return whether it was just now."""
        if self._first_sound is None:
            anchor = self._writer.anchor
            if anchor is None or anchor.out_frame <= stream.start:
                return False
            played = anchor.out_frame - stream.start
            self._first_sound = (anchor.ns - round(played / stream.rate * 1e9), time.monotonic())
            return True
        if self._underruns_at_start is None and time.monotonic() - self._first_sound[1] >= _UNDERRUN_GRACE_S:
            self._underruns_at_start = self._writer.counters.underruns
        return False

    def status(self, spec: StreamSpec | None, stream: Stream | None, floor_s: float) -> dict[str, Any]:
        """Return what a user wants to see; numbers in the units that their names say. `spec` is None while loading."""
        writer = self._writer
        p50, p95, p99 = self._times.quantiles()
        counters, first, before = writer.counters, self._first_sound, self._underruns_at_start
        rate = stream.rate if stream else writer.reader_rate or (spec.sample_rate if spec else _ANY_RATE)
        loop = stream.loop_latency if stream else 0
        return {
            "rate": rate,
            "steps": self._times.count,
            "step_ms": {"p50": p50 * 1e3, "p95": p95 * 1e3, "p99": p99 * 1e3},
            "rtf": spec.step_seconds / p50 if spec and p50 else 0.0,
            "fill_ms": writer.fill / rate * 1e3,
            "target": stream.pace.target if stream else 0,
            "target_ms": (stream.pace.target / rate if stream else floor_s) * 1e3,
            "loop_latency": loop,
            "loop_latency_ms": loop / rate * 1e3,
            "underruns": counters.underruns,
            "underruns_after_start": 0 if before is None else counters.underruns - before,
            "xruns": counters.xruns,
            "xruns_ours": counters.late_callbacks,
            "overruns": counters.overruns,
            "dropped_frames": counters.dropped_frames,
            "reader_alive": (spec is None or stream is not None) and writer.reader_alive,
            "armed": writer.armed,
            "played_s": writer.out_read / rate,
            "levels": {"out": _decibels(counters.hold_out), "in": _decibels(counters.hold_in)},
            "heard": dict(self._heard),
            "first_sound_ns": first[0] if first else 0,
        }


def _decibels(levels: Sequence[float]) -> list[float]:
    """Return linear levels in dBFS, at least -120."""
    return [float(20.0 * np.log10(max(level, 1e-6))) for level in levels]
