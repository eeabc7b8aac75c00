"""The native core and its Python face: shared segment, rings, renderer, phase, resampling."""

from jackdaw.dsp._mapping import SegmentBusy, SegmentError, SegmentInvalid, segment_path
from jackdaw.dsp._native import ffi, lib, library_path, xla_calls
from jackdaw.dsp._snapshots import Anchor, Counters, ToldTime, Transport, histogram_bounds
from jackdaw.dsp.client import Client
from jackdaw.dsp.crossfade import crossfade, equal_gain_ramp, equal_power_ramp
from jackdaw.dsp.resample import StreamResampler
from jackdaw.dsp.segment import SegmentReader, SegmentWriter

__all__ = [
    "Anchor",
    "Client",
    "Counters",
    "SegmentBusy",
    "SegmentError",
    "SegmentInvalid",
    "SegmentReader",
    "SegmentWriter",
    "StreamResampler",
    "ToldTime",
    "Transport",
    "crossfade",
    "equal_gain_ramp",
    "equal_power_ramp",
    "ffi",
    "histogram_bounds",
    "lib",
    "library_path",
    "segment_path",
    "xla_calls",
]
