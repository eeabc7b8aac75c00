"""Plain values read from a segment: clock anchor, transport, counters of the audio thread, what the engine was told."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from jackdaw.dsp._native import ffi, lib

__all__ = [
    "Anchor",
    "Counters",
    "ToldTime",
    "Transport",
    "histogram_bounds",
    "read_anchor",
    "read_counters",
    "read_told",
    "read_transport",
]

_NONE_YET = 2**64 - 1


class Anchor(NamedTuple):
    """Output frame `out_frame` was played as input frame `in_frame` was captured, at `ns` (CLOCK_MONOTONIC)."""

    out_frame: int
    in_frame: int
    ns: int


class ToldTime(NamedTuple):
    """The time that the engine was told: `beat` from 0 in the bar was heard at `ns` (CLOCK_MONOTONIC)."""

    rolling: bool
    bpm: float
    beat: float
    beats_per_bar: int
    ns: int


@dataclass(frozen=True, kw_only=True)
class Transport:
    """The studio's transport at the start of a block.

    Parameters
    ----------
    state
        0 stopped, 1 rolling, 3 starting (JACK's numbers).
    frame
        Position in frames.
    bpm
        Beats per minute; 0 = no bar/beat information, and the fields below mean nothing.
    bar, beat
        From 1.
    tick
        Fraction of the beat, 0..1.
    beats_per_bar, beat_type
        The time signature.
    ns
        CLOCK_MONOTONIC of the block.
    """

    state: int = 0
    frame: int = 0
    bpm: float = 0.0
    bar: int = 0
    beat: int = 0
    tick: float = 0.0
    beats_per_bar: float = 0.0
    beat_type: float = 0.0
    ns: int = 0

    @property
    def rolling(self) -> bool:
        """Whether the transport moves."""
        return self.state == 1


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What the audio thread counted since the segment was made.

    Parameters
    ----------
    blocks
        Rendered.
    underruns, underrun_frames
        Times the output ring ran dry while armed, and the silent frames that followed.
    overruns
        Blocks whose input did not fit.
    dropped_frames
        Stale or of an older epoch.
    low_water
        Least fill at the start of a block played since the last arm; None before one was.
    late_callbacks
        Blocks that took more than half of their period.
    xruns
        As told by the audio server.
    midi_dropped
        Messages too long (SysEx) or too many.
    fades
        Fade-outs of all causes.
    reader_resyncs, writer_resyncs
        Times the other side's cursors made no sense.
    peak_out, peak_in, hold_out, hold_in
        Linear peaks of the last block, and with a slow decay, per channel.
    callback_ns_max, last_xrun_ns
        Longest callback; time of the last xrun (CLOCK_MONOTONIC).
    histogram
        Callbacks by their time: bin b counts [250 * 2^(b/4), 250 * 2^((b+1)/4)) ns, the ends open.
    """

    blocks: int
    underruns: int
    underrun_frames: int
    overruns: int
    dropped_frames: int
    low_water: int | None
    late_callbacks: int
    xruns: int
    midi_dropped: int
    fades: int
    reader_resyncs: int
    writer_resyncs: int
    peak_out: tuple[float, float]
    peak_in: tuple[float, float]
    hold_out: tuple[float, float]
    hold_in: tuple[float, float]
    callback_ns_max: int
    last_xrun_ns: int
    histogram: tuple[int, ...]

    def callback_ns(self, quantile: float) -> float:
        """Return the callback time at `quantile` (0..1) in ns, as the upper bound of its bin; 0 if none was timed."""
        total = sum(self.histogram)
        seen = 0
        for bin_, count in enumerate(self.histogram):
            seen += count
            if count and seen >= quantile * total:
                return float(250.0 * 2.0 ** ((bin_ + 1) / 4))
        return 0.0


def histogram_bounds() -> tuple[float, ...]:
    """Return the lower bounds of the callback histogram's bins in ns."""
    return tuple(250.0 * 2.0 ** (b / 4) for b in range(lib.JD_HISTOGRAM_BINS))


def read_anchor(handle: Any) -> Anchor | None:
    """Read the clock anchor; None before the first block."""
    value = ffi.new("jd_anchor *")
    if lib.jd_read_anchor(handle, value) != 0:
        return None
    return Anchor(int(value.out_frame), int(value.in_frame), int(value.ns))


def read_transport(handle: Any) -> Transport:
    """Read the transport; stopped at 0 if none was published."""
    value = ffi.new("jd_transport *")
    if lib.jd_read_transport(handle, value) != 0:
        return Transport()
    return Transport(
        state=value.state,
        frame=value.frame,
        bpm=value.bpm,
        bar=value.bar,
        beat=value.beat,
        tick=value.tick,
        beats_per_bar=value.beats_per_bar,
        beat_type=value.beat_type,
        ns=value.ns,
    )


def read_told(handle: Any) -> ToldTime | None:
    """Read the time that the engine was told; None if it was told none."""
    value = ffi.new("jd_told *")
    if lib.jd_read_told(handle, value) != 0 or not value.bpm > 0.0:
        return None
    return ToldTime(bool(value.rolling), value.bpm, value.beat, int(value.beats_per_bar), int(value.ns))


def read_counters(header: Any) -> Counters:
    """Read the audio thread's counters from a ``jd_header*``."""
    plain: dict[str, Any] = {
        name: int(getattr(header, name))
        for name in (
            "blocks",
            "underruns",
            "underrun_frames",
            "overruns",
            "dropped_frames",
            "late_callbacks",
            "xruns",
            "midi_dropped",
            "fades",
            "reader_resyncs",
            "writer_resyncs",
            "callback_ns_max",
            "last_xrun_ns",
        )
    }
    pairs: dict[str, Any] = {
        name: (float(getattr(header, name)[0]), float(getattr(header, name)[1]))
        for name in ("peak_out", "peak_in", "hold_out", "hold_in")
    }
    low_water = int(header.low_water)
    return Counters(
        **plain,
        **pairs,
        low_water=None if low_water == _NONE_YET else low_water,
        histogram=tuple(int(count) for count in header.histogram),
    )
