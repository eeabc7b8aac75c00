"""The session segment from Python: the engine's side (`SegmentWriter`) and the client's (`SegmentReader`).

Who writes what is laid down in ``include/jackdaw/segment.h``; here only the C functions that move cursors are called.

- :class:`SegmentWriter` belongs to the engine's one audio-making thread: it writes the output ring and reads the input
  and MIDI rings.
- :class:`SegmentReader` is the mapping that a :class:`~jackdaw.dsp.client.Client` renders from, with the reader's lock.
  A client outlives readers: when the engine puts a new file in the old one's place, a new reader is attached for the
  same client, and the sound crossfades.

Each side holds a lock while it lives, released by the kernel with the process, however it ends.
"""

import contextlib
import os
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from jackdaw.dsp._mapping import Segment, SegmentError, raise_error, segment_path
from jackdaw.dsp._native import ffi, lib
from jackdaw.dsp.client import Client

__all__ = ["SegmentReader", "SegmentWriter"]


class SegmentWriter(Segment):
    """The engine's side: open with :meth:`open`; all methods on the engine's one thread."""

    @classmethod
    def open(cls, name: str, *, channels: int = 2, capacity: int = 262144) -> Self:
        """Make the segment of session `name`, or take over the one that a dead engine left.

        A taken-over segment begins a new epoch and its unread input is skipped. What is not a segment of this version
        and shape is replaced; mappings of the old file stay valid (and report :meth:`SegmentReader.replaced`).

        Parameters
        ----------
        name
            Session name, see :func:`segment_path`.
        channels
            Of both rings, 1 or 2.
        capacity
            Frames in each ring: a power of two, 4096..16777216.

        Raises
        ------
        SegmentBusy
            If a living engine has this session.
        SegmentInvalid
            If the file belongs to another user.
        SegmentError
            If the name or an argument is out of range, or the system refuses.
        """
        path = segment_path(name)
        result = ffi.new("jd_segment **")
        if not (1 <= channels <= lib.JD_MAX_CHANNELS and lib.JD_MIN_CAPACITY <= capacity <= lib.JD_MAX_CAPACITY):
            raise_error(name, path, lib.JD_ERROR_ARGUMENT)
        code = lib.jd_segment_open(os.fsencode(path), channels, capacity, result)
        if code != 0:
            raise_error(name, path, code)
        return cls(name, path, result[0])

    @property
    def fill(self) -> int:
        """Frames in the output ring that wait to be played, 0..capacity."""
        return int(lib.jd_writer_fill(self.handle))

    @property
    def space(self) -> int:
        """Frames that :meth:`write` would take now."""
        return self.capacity - self.fill

    @property
    def in_available(self) -> int:
        """Frames of input that wait to be read."""
        return int(lib.jd_writer_input_available(self.handle))

    @property
    def reader_rate(self) -> int:
        """Rate that the client wants in the rings, in Hz; 0 = no client."""
        return self._load("reader_rate")

    @property
    def reader_block(self) -> int:
        """Frames of the client's period."""
        return self._load("reader_block")

    def write(self, audio: NDArray[np.float32]) -> None:
        """Append audio to the output ring.

        Parameters
        ----------
        audio
            float32, shape (frames, channels), at `ring_rate`.

        Raises
        ------
        SegmentError
            If the shape does not fit or there is not enough :attr:`space`; nothing is written then.
        """
        block = np.ascontiguousarray(audio, dtype=np.float32)
        if block.ndim != 2 or block.shape[1] != self.channels:
            raise SegmentError(f"write: audio has shape {block.shape}, not (frames, {self.channels})")
        if lib.jd_writer_write(self.handle, ffi.from_buffer("float[]", block), len(block)) != 0:
            raise SegmentError(f"write: {len(block)} frames do not fit into the {self.space} that are free")

    def read_input(self, frames: int) -> NDArray[np.float32]:
        """Take `frames` of input: float32, shape (frames, channels). Raises if so many are not there."""
        audio = np.empty((frames, self.channels), np.float32)
        if lib.jd_writer_read_input(self.handle, ffi.from_buffer("float[]", audio, require_writable=True), frames):
            raise SegmentError(f"read_input: {frames} frames asked for, {self.in_available} are there")
        return audio

    def skip_input(self, frames: int) -> int:
        """Drop up to `frames` of input; return how many were dropped."""
        return int(lib.jd_writer_skip_input(self.handle, frames))

    def read_midi(self) -> list[tuple[int, bytes]]:
        """Take all waiting MIDI messages, oldest first, as (input frame, 1..8 bytes)."""
        events = ffi.new("jd_midi_event[]", lib.JD_MIDI_CAPACITY)
        count = lib.jd_writer_read_midi(self.handle, events, lib.JD_MIDI_CAPACITY)
        return [(int(e.frame), bytes(ffi.buffer(e.bytes, e.size))) for e in events[0:count]]

    def reset(self) -> None:
        """Begin a new epoch: what is in the ring now will not be played (the change crossfades)."""
        lib.jd_writer_reset(self.handle)

    def tell(self, *, rolling: bool, bpm: float, beat: float, beats_per_bar: int, ns: int) -> None:
        """Publish the time that the engine was told: `beat`, from 0 in the bar, was heard at `ns` (CLOCK_MONOTONIC).

        Any thread, one at a time. For a client that leads the studio's time; see :attr:`told`.
        """
        told = ffi.new("jd_told *", (int(rolling), bpm, beat, beats_per_bar, ns))
        lib.jd_writer_tell(self.handle, told)

    def publish(
        self,
        *,
        target: int | None = None,
        limit: int | None = None,
        ring_rate: int | None = None,
        loop_latency: int | None = None,
        steps: int | None = None,
        step_ns_p99: int | None = None,
        stopping: bool | None = None,
    ) -> None:
        """Tell the client what is not None.

        Parameters
        ----------
        target
            Frames of fill aimed at: music starts at half of it, and stale music is dropped down to it. At least two
            periods and 10 ms, or nothing is ever played.
        limit
            Frames: a fill above this is stale. 0 = no limit.
        ring_rate
            Hz of what is in the ring. The client is silent while it is not the client's own rate.
        loop_latency
            Frames from an input sample to its answer.
        steps, step_ns_p99
            Model steps done, and the 99th percentile of their time in ns.
        stopping
            The music ends at `out_write`: fade out there and do not count an underrun.
        """
        fields = {
            "out_target": target,
            "out_limit": limit,
            "loop_latency": loop_latency,
            "steps": steps,
            "step_ns_p99": step_ns_p99,
            "flags_writer": None if stopping is None else int(stopping),
            "ring_rate": ring_rate,
        }
        for field, value in fields.items():
            if value is not None:
                self._store(field, value)

    def heartbeat(self) -> None:
        """Say that the engine is alive and not stuck."""
        self._store("writer_heartbeat_ns", lib.jd_now_ns())


class SegmentReader(Segment):
    """The client's side of a segment: open with :meth:`attach`; the audio thread works through :attr:`renderer`."""

    renderer: Client
    _own_renderer: bool

    @classmethod
    def attach(cls, name: str, renderer: Client | None = None) -> Self:
        """Map the segment of session `name` and let `renderer` render from it.

        Parameters
        ----------
        name
            Session name.
        renderer
            A client that lives already (and may be rendering from an older segment); None makes a new one, which ends
            with this reader.

        Raises
        ------
        SegmentBusy
            If another living client has this session.
        SegmentInvalid
            If the file is not a segment of this version, or not private to this user.
        SegmentError
            If there is none (the engine is not running yet), or the system refuses.
        """
        path = segment_path(name)
        result = ffi.new("jd_segment **")
        code = lib.jd_segment_attach(os.fsencode(path), result)
        if code != 0:
            raise_error(name, path, code)
        reader = cls(name, path, result[0])
        reader._own_renderer = renderer is None
        reader.renderer = renderer if renderer is not None else Client()
        reader.renderer.use(reader)
        return reader

    @property
    def client(self) -> Any:
        """The C context, ``jd_client*``, for ``jd_jack_process`` and its like."""
        return self.renderer.pointer

    def set_reader(self, rate: int, block: int) -> None:
        """Say the rate (Hz) and period (frames) of the audio server: the engine delivers at that rate."""
        self.renderer.set_rate(rate)
        self._store("reader_block", block)
        self._store("reader_rate", rate)

    def arm(self, armed: bool) -> None:
        """Consume the rings, or fade to silence and leave them alone; takes effect at the next block."""
        self.renderer.arm(armed)

    def freewheel(self, on: bool) -> None:
        """Wait for the engine in each block instead of underrunning; takes effect at the next block."""
        self.renderer.freewheel(on)

    def heartbeat(self) -> None:
        """Say that the client's control thread is alive."""
        self._store("reader_heartbeat_ns", lib.jd_now_ns())

    def close(self) -> None:
        """Let the renderer go, unmap and unlock; a renderer that :meth:`attach` made ends too."""
        if self._handle is None:
            return
        if self.renderer.pointer is not None and self.renderer.reader is self:
            self.renderer.use(None)
        super().close()
        if self._own_renderer:
            self.renderer.close()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, SegmentError):
            self.close()
