"""The session segment from Python: the engine's side (`SegmentWriter`) and the client's (`SegmentReader`, `Client`).

Who writes what is laid down in ``include/jackdaw/segment.h``; here only the C functions that move cursors are called.

- :class:`SegmentWriter` belongs to the engine's one audio-making thread: it writes the output ring and reads the input
  and MIDI rings.
- :class:`Client` is what the audio thread renders with. Python only steers it; its callback is a C function.
- :class:`SegmentReader` is the mapping that a :class:`Client` renders from, with the reader's lock. A client outlives
  readers: when the engine puts a new file in the old one's place, a new reader is attached for the same client, and the
  sound crossfades.

Each side holds a lock while it lives, released by the kernel with the process, however it ends.
"""

import contextlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from jackdaw.dsp._native import ffi, lib
from jackdaw.dsp._snapshots import Anchor, Counters, Transport, read_anchor, read_counters, read_transport

__all__ = [
    "Client",
    "SegmentBusy",
    "SegmentError",
    "SegmentInvalid",
    "SegmentReader",
    "SegmentWriter",
    "segment_path",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_INVALID = {
    lib.JD_ERROR_NOT_A_FILE,
    lib.JD_ERROR_OWNER,
    lib.JD_ERROR_MODE,
    lib.JD_ERROR_SIZE,
    lib.JD_ERROR_MAGIC,
    lib.JD_ERROR_ABI,
    lib.JD_ERROR_LAYOUT,
}


class SegmentError(RuntimeError):
    """A session segment cannot be made, mapped or used; the message says why and what to do."""


class SegmentBusy(SegmentError):  # noqa: N818 - the name says the state, as the field does
    """The side that was asked for is held by a living process."""


class SegmentInvalid(SegmentError):  # noqa: N818
    """What bears the segment's name is not one, or not of this version."""


def segment_path(name: str) -> Path:
    """Return where the segment of session `name` lives.

    Parameters
    ----------
    name
        1 to 64 letters, digits, ``_``, ``.`` or ``-``, beginning with a letter or digit.

    Raises
    ------
    SegmentError
        If the name has other characters or another length.
    """
    if not _NAME.fullmatch(name):
        raise SegmentError(
            f"session name {name!r}: use 1 to 64 letters, digits, '_', '.' or '-', beginning with a letter or digit"
        )
    return Path("/dev/shm") / f"jackdaw-{os.geteuid()}-{name}"


def _raise(name: str, path: Path, code: int) -> None:
    """Turn an error code of the core into an exception."""
    text = ffi.string(lib.jd_error_text(code)).decode()
    if code == lib.JD_ERROR_SYSTEM:
        text = f"{text} ({os.strerror(ffi.errno)})"
    message = f"session {name!r}, {path}: {text}"
    if code == lib.JD_ERROR_BUSY:
        raise SegmentBusy(message)
    if code in _INVALID:
        raise SegmentInvalid(message)
    raise SegmentError(message)


class _Segment:
    """What both sides share: the mapping, its lock, and the fields that either may read."""

    def __init__(self, name: str, path: Path, handle: Any) -> None:
        self.name = name
        self.path = path
        self._handle = handle
        self._header = lib.jd_segment_header(handle)

    @property
    def handle(self) -> Any:
        """The C mapping, ``jd_segment*``; raises :class:`SegmentError` once closed."""
        if self._handle is None:
            raise SegmentError(f"session {self.name!r}: this side of the segment is closed")
        return self._handle

    def _load(self, field: str) -> int:
        _ = self.handle
        return int(lib.jd_load(ffi.addressof(self._header, field)))

    def _store(self, field: str, value: int) -> None:
        _ = self.handle
        lib.jd_store(ffi.addressof(self._header, field), value)

    @property
    def channels(self) -> int:
        """Channels of both rings, 1 or 2."""
        _ = self.handle
        return int(self._header.channels)

    @property
    def capacity(self) -> int:
        """Frames that each ring holds."""
        _ = self.handle
        return int(self._header.capacity)

    @property
    def out_write(self) -> int:
        """Frames written to the output ring since it was made."""
        return self._load("out_write")

    @property
    def out_read(self) -> int:
        """Frames of the output ring that were played or dropped."""
        return self._load("out_read")

    @property
    def in_write(self) -> int:
        """Frames captured since the ring was made."""
        return self._load("in_write")

    @property
    def in_read(self) -> int:
        """Frames of input that the engine took or skipped."""
        return self._load("in_read")

    @property
    def fill(self) -> int:
        """Frames in the output ring that wait to be played, 0..capacity."""
        return min(max(self.out_write - self.out_read, 0), self.capacity)

    @property
    def epoch(self) -> int:
        """Number of resets, take-overs included."""
        return self._load("epoch")

    @property
    def epoch_start(self) -> int:
        """Output frame at which the present epoch begins."""
        return self._load("epoch_start")

    @property
    def anchor(self) -> Anchor | None:
        """The clock anchor: which output and input frame met at which time; None before the first block."""
        return read_anchor(self.handle)

    @property
    def transport(self) -> Transport:
        """The studio's transport as of the last block; stopped at 0 if none was ever published."""
        return read_transport(self.handle)

    @property
    def counters(self) -> Counters:
        """Counters, meters and the callback histogram of the audio thread."""
        _ = self.handle
        return read_counters(self._header)

    @property
    def armed(self) -> bool:
        """Whether the audio thread consumes the rings."""
        return self._load("armed") != 0

    @property
    def freewheeling(self) -> bool:
        """Whether the audio thread waits for the engine instead of underrunning."""
        return self._load("freewheel") != 0

    @property
    def writer_alive(self) -> bool:
        """Whether an engine holds its lock."""
        return bool(lib.jd_segment_alive(self.handle, lib.JD_SIDE_WRITER))

    @property
    def reader_alive(self) -> bool:
        """Whether a client holds its lock."""
        return bool(lib.jd_segment_alive(self.handle, lib.JD_SIDE_READER))

    @property
    def writer_pid(self) -> int:
        """Process id of the last engine."""
        return self._load("writer_pid")

    @property
    def reader_pid(self) -> int:
        """Process id of the last client."""
        return self._load("reader_pid")

    @property
    def writer_instance(self) -> int:
        """Random number of the last engine's life; another one means that a new engine took over."""
        return self._load("writer_instance")

    @property
    def reader_instance(self) -> int:
        """Random number of the last client's attachment; another one means that a client attached anew."""
        return self._load("reader_instance")

    @property
    def ring_rate(self) -> int:
        """Rate of the music in the output ring in Hz; 0 while no engine is ready."""
        return self._load("ring_rate")

    @property
    def loop_latency(self) -> int:
        """Frames from an input sample to its answer at the output, as the engine keeps it."""
        return self._load("loop_latency")

    @property
    def target(self) -> int:
        """Frames of fill that the engine aims at."""
        return self._load("out_target")

    def replaced(self) -> bool:
        """Return whether the segment's name stands for another file now, or for none: attach or open again."""
        return bool(lib.jd_segment_replaced(self.handle))

    def close(self) -> None:
        """Unmap and unlock; the last side to leave removes the file. Closing twice is allowed."""
        if self._handle is not None:
            lib.jd_segment_close(self._handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class SegmentWriter(_Segment):
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
            _raise(name, path, lib.JD_ERROR_ARGUMENT)
        code = lib.jd_segment_open(os.fsencode(path), channels, capacity, result)
        if code != 0:
            _raise(name, path, code)
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


class Client:
    """What one audio callback renders with: the C context, steered from the control thread.

    Give ``pointer`` to ``jd_jack_process`` as its argument, or call :meth:`render`. Renders silence until a reader is
    given to :meth:`use`. Every change that could click is faded by the audio thread over 5 ms (the volume: 20 ms).
    """

    def __init__(self) -> None:
        pointer = lib.jd_client_new()
        if pointer == ffi.NULL:
            raise MemoryError("no memory for an audio client")
        self.pointer = pointer
        self._reader: SegmentReader | None = None

    def use(self, reader: "SegmentReader | None") -> None:
        """Render from `reader` (None: silence). Returns when the audio thread has let go of the one before.

        Raises
        ------
        SegmentError
            If the audio thread hangs inside a block; the former reader must stay open then.
        """
        handle = ffi.NULL if reader is None else reader.handle
        if lib.jd_client_set_segment(self.pointer, handle) != 0:
            raise SegmentError("the audio thread did not let go of its segment: is the audio server stuck?")
        self._reader = reader

    @property
    def reader(self) -> "SegmentReader | None":
        """What is rendered from."""
        return self._reader

    def set_rate(self, rate: int) -> None:
        """Set the rate of the blocks in Hz, before they start."""
        lib.jd_client_set_rate(self.pointer, rate)

    def arm(self, armed: bool) -> None:
        """Consume the rings, or fade to silence and leave them alone."""
        lib.jd_client_arm(self.pointer, armed)

    def freewheel(self, on: bool) -> None:
        """Wait for the engine in each block instead of underrunning."""
        lib.jd_client_freewheel(self.pointer, on)

    def set_volume(self, gain: float) -> None:
        """Set the output gain, linear, 0..16."""
        lib.jd_client_set_volume(self.pointer, gain)

    def request_stop(self, stop: bool = True) -> None:
        """Fade out and play nothing more (False: go on); :attr:`stopped` tells when it is done."""
        lib.jd_client_request_stop(self.pointer, stop)

    @property
    def stopped(self) -> bool:
        """Whether a requested stop has been played to its end."""
        return bool(lib.jd_client_stopped(self.pointer))

    def engine_gone(self, writer_instance: int) -> None:
        """Fade out at once; silence until another instance than `writer_instance` writes."""
        lib.jd_client_engine_gone(self.pointer, writer_instance)

    def set_patience(self, seconds: float) -> None:
        """Set how long freewheel waits without any new frame (10 s unless told)."""
        lib.jd_client_set_patience(self.pointer, int(seconds * 1e9))

    def render(
        self, audio_in: NDArray[np.float32] | None, frames: int, *, channels: int = 2, offline: bool = False
    ) -> NDArray[np.float32]:
        """Render one block on the calling thread, which then is the audio thread.

        Parameters
        ----------
        audio_in
            float32, shape (frames, 1 or 2), or None for no input.
        frames
            Length of the block.
        channels
            Of the output, 1 or more.
        offline
            Wait for the engine, as in freewheel.

        Returns
        -------
        audio
            float32, shape (frames, channels).
        """
        planes: Sequence[NDArray[np.float32]] = []
        if audio_in is not None:
            if audio_in.ndim != 2 or len(audio_in) != frames:
                raise SegmentError(f"render: input has shape {audio_in.shape}, not ({frames}, channels)")
            planes = [np.ascontiguousarray(audio_in[:, c], np.float32) for c in range(audio_in.shape[1])]
        result = np.empty((channels, frames), np.float32)
        ins = ffi.new("float *[]", [ffi.from_buffer("float[]", p) for p in planes] or 1)
        outs = ffi.new("float *[]", [ffi.from_buffer("float[]", p, require_writable=True) for p in result])
        lib.jd_render(self.pointer, ins, outs, len(planes), channels, frames, lib.JD_RENDER_OFFLINE if offline else 0)
        return np.ascontiguousarray(result.T)

    def close(self) -> None:
        """Free the context. No callback may be running or come any more. Closing twice is allowed."""
        if self.pointer is not None:
            lib.jd_client_free(self.pointer)
            self.pointer = None


class SegmentReader(_Segment):
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
            _raise(name, path, code)
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
