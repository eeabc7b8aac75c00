"""What both sides of a session segment share: names, errors, the mapping with its lock, the fields that both read."""

import os
import re
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jackdaw.dsp._native import ffi, lib
from jackdaw.dsp._snapshots import (
    Anchor,
    Counters,
    ToldTime,
    Transport,
    read_anchor,
    read_counters,
    read_told,
    read_transport,
)

__all__ = ["Segment", "SegmentBusy", "SegmentError", "SegmentInvalid", "raise_error", "segment_path"]

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


def raise_error(name: str, path: Path, code: int) -> None:
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


class Segment:
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
    def told(self) -> ToldTime | None:
        """The time that the engine was told by messages, taps or MIDI clock; None if it was told none."""
        return read_told(self.handle)

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
