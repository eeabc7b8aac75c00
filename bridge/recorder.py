"""Records what was played, what was heard and the click to FLAC, sample by sample.

The audio thread writes each block into a tap (a ring in this process's memory, :file:`tap.h`); a drain thread takes it
from there, converts it and compresses it. The audio thread never waits for the drain thread but in freewheel. If the
drain thread falls behind by more than the ring (5.5 s at 48 kHz), silence stands for what was lost, and it is counted:
the recording stays in time.

A recording begins with the first sample played that is not zero. Samples are kept to 24 bits: what lies on that grid,
in -1 to 1 - 2**-23, is kept exactly; louder samples are clipped and counted.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from jackdaw.bridge._take_clock import TakeClock
from jackdaw.dsp import Client, ffi, lib

__all__ = ["Recorder", "RecorderError", "Recording", "free_name"]

_CAPACITY = 1 << 18
_CHUNK = 8192
_NAP_S = 0.02
_SCALE = np.float32(1 << 23)
_CHANNELS = 5
_TRACKS = (("", slice(0, 2)), (".heard", slice(2, 4)), (".click", slice(4, 5)))


class RecorderError(RuntimeError):
    """The recording cannot be made; the text says why and what to do."""


@dataclass(frozen=True)
class Recording:
    """What was recorded.

    Parameters
    ----------
    played, heard, click
        The files; None if nothing but silence came.
    frames
        Length.
    lost
        Frames that silence stands for.
    clipped
        Samples of what was played that were too loud for the file.
    """

    played: Path | None
    heard: Path | None
    click: Path | None
    frames: int
    lost: int
    clipped: int


def free_name(path: Path) -> Path:
    """Return `path`, or the first of ``NAME-2.flac``, ``NAME-3.flac`` ... that is not there: nothing is overwritten."""
    number, candidate = 1, path
    while any(_beside(candidate, suffix).exists() for suffix, _ in _TRACKS):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.stem}{suffix}{path.suffix}")


class _Take:
    """Files of equal length; drain thread only, once made."""

    def __init__(self, path: Path, rate: int) -> None:
        self.path = free_name(path)
        self.clock = TakeClock(rate)
        self.frames = self.lost = self.clipped = 0
        self._sounds = [False] * len(_TRACKS)
        self._files = []
        for suffix, part in _TRACKS:
            name, channels = _beside(self.path, suffix), part.stop - part.start
            try:
                file = soundfile.SoundFile(name, "x", rate, channels, format="FLAC", subtype="PCM_24")
            except (soundfile.LibsndfileError, OSError) as error:
                raise RecorderError(f"cannot record to {name}: {error}; name another file with --record") from error
            self._files.append(file)

    def write(self, block: NDArray[np.float32], gap: int) -> None:
        """Append a gap of silence and a block of shape (frames, 5); before the first sound, skip."""
        if self.frames == 0:
            sounding = np.flatnonzero(block[:, :2].any(axis=1))
            if not len(sounding):
                return
            block, gap = block[sounding[0] :], 0
        for length in (min(_CHUNK, gap - at) for at in range(0, gap, _CHUNK)):
            self._put(np.zeros((length, _CHANNELS), np.float32))
        self.lost += gap
        self._put(block)

    def _put(self, block: NDArray[np.float32]) -> None:
        scaled = np.rint(block * _SCALE)
        kept = np.clip(scaled, -_SCALE, _SCALE - 1)
        self.clipped += int(np.count_nonzero(scaled[:, :2] != kept[:, :2]))
        codes = kept.astype(np.int32) << 8
        for index, (file, (_, part)) in enumerate(zip(self._files, _TRACKS, strict=True)):
            self._sounds[index] = self._sounds[index] or bool(codes[:, part].any())
            file.write(np.ascontiguousarray(codes[:, part]))
        self.frames += len(block)

    def close(self) -> Recording:
        for file in self._files:
            file.close()
        kept: list[Path | None] = []
        for (suffix, _), sounds in zip(_TRACKS, self._sounds, strict=True):
            path = _beside(self.path, suffix)
            kept.append(path if sounds else None)
            if not sounds:
                os.unlink(path)
        return Recording(kept[0], kept[1], kept[2], self.frames, self.lost, self.clipped)


class Recorder:
    """Records a client from its first block on.

    Parameters
    ----------
    path
        Name of the FLAC file; an existing one is kept, and a number added to the name. What was heard goes beside
        it, to ``NAME.heard.flac``, the metronome's click to ``NAME.click.flac``.
    client
        What the audio thread renders with; its blocks have not started.
    say
        Logs an event with fields: which frame of which file was played at which time.

    Raises
    ------
    MemoryError
        If there is none for the ring.
    """

    def __init__(self, path: Path, client: Client, say: Callable[..., None] = lambda *_, **__: None) -> None:
        self._path = path
        self._say = say
        self._tap = lib.jd_tap_new(_CAPACITY)
        if self._tap == ffi.NULL:
            raise MemoryError("no memory for the recording's ring")
        self._buffer = np.empty((_CHUNK, _CHANNELS), np.float32)
        self._take: _Take | None = None
        self._rate = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        lib.jd_client_set_tap(client.pointer, self._tap)

    def begin(self, rate: int) -> Recording | None:
        """Open the files, before blocks of `rate` Hz come; another rate than before begins another recording.

        Returns
        -------
        Recording or None
            The one that was ended.

        Raises
        ------
        RecorderError
            If a file cannot be made.
        """
        if self._take is not None and rate == self._rate:
            return None
        ended = self.end()
        self._rate = rate
        self._take = _Take(self._path, rate)
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(self._take,), name="recorder", daemon=True)
        self._thread.start()
        return ended

    def end(self) -> Recording | None:
        """Write what is left and close the files; blocks have stopped. Return what was recorded, if anything was begun.

        Raises
        ------
        RecorderError
            If writing failed: the disk is full, for instance. What was written before stays.
        """
        if self._take is None or self._thread is None:
            return None
        self._stop.set()
        self._thread.join()
        take, self._take, self._thread = self._take, None, None
        result = take.close()
        if self._error is not None:
            raise RecorderError(f"recording {take.path} broke off after {take.frames} frames: {self._error}")
        return result

    def close(self) -> None:
        """Free the ring: after :meth:`end`, and after the client was closed."""
        if self._tap is not None:
            lib.jd_tap_free(self._tap)
            self._tap = None

    @property
    def error(self) -> BaseException | None:
        """What stopped the drain thread, if anything did."""
        return self._error

    def _run(self, take: _Take) -> None:
        try:
            while not self._stop.is_set():
                if not self._drain(take):
                    time.sleep(_NAP_S)
            while self._drain(take):
                pass
            self._tell(take, take.clock.news())
        except (OSError, RuntimeError) as error:
            self._error = error

    def _drain(self, take: _Take) -> bool:
        """Take one chunk out of the ring; return whether there was anything."""
        gap = ffi.new("uint64_t*")
        samples = ffi.from_buffer("float[]", self._buffer, require_writable=True)
        begun = time.monotonic_ns()
        count = int(lib.jd_tap_read(self._tap, samples, _CHUNK, gap))
        if count or gap[0]:
            take.write(self._buffer[:count], int(gap[0]))
            if 0 < count < _CHUNK and take.frames:
                self._tell(take, take.clock.read(begun, take.frames))
        return bool(count or gap[0])

    def _tell(self, take: _Take, news: tuple[int, int] | None) -> None:
        if news is not None:
            self._say("recording", file=take.path, rate=self._rate, frame=news[0], ns=news[1])
