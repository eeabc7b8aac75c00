"""Records what a session makes to a FLAC file of 24 bits, from a thread of its own.

The device thread leaves each step's audio in a queue of bounded length and never waits: if the disk is slower than the
queue is long, silence stands for what was lost, and it is counted. The file is made anew or not at all; a recording
without a frame leaves none behind.
"""

import os
import queue
import threading
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from jackdaw.engine.models.contract import Audio

__all__ = ["Recording"]

_QUEUE = 256
_POLL_S = 0.05
_SCALE = np.float32(1 << 23)


class Recording:
    """One file; see the module.

    Parameters
    ----------
    path
        Ends in .flac; nothing may be there yet.
    rate, channels
        Of what comes.

    Raises
    ------
    ValueError
        If the name has another ending.
    OSError
        If the file is there already or cannot be made; nothing is touched then.
    """

    def __init__(self, path: str | Path, rate: int, channels: int) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".flac":
            raise ValueError(f"recording {str(self.path)!r}: recordings are FLAC, give a name that ends in .flac")
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except FileExistsError:
            raise FileExistsError(
                f"recording {str(self.path)!r}: the file is there already and stays as it is; give another name"
            ) from None
        except OSError as error:
            raise OSError(f"recording {str(self.path)!r} cannot be made: {error.strerror}") from error
        try:
            self._file = soundfile.SoundFile(handle, "w", rate, channels, "PCM_24", format="FLAC", closefd=True)
        except (soundfile.LibsndfileError, ValueError) as error:
            os.close(handle)
            self.path.unlink()
            raise OSError(f"recording {str(self.path)!r} cannot be made: {error}") from error
        self._rate, self._channels = rate, channels
        self._frames = self._lost = self._gap = 0
        self._error: BaseException | None = None
        self._queue: queue.Queue[tuple[int, Audio]] = queue.Queue(_QUEUE)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def offer(self, audio: Audio) -> None:
        """Take audio, shape (samples, channels), if there is room. Device thread; never waits for the disk."""
        try:
            self._queue.put_nowait((self._gap, audio))
            self._gap = 0
        except queue.Full:
            self._gap += len(audio)
            self._lost += len(audio)

    def end(self) -> None:
        """Let the file end once everything is written; never waits. Nothing is offered any more."""
        self._ending.set()

    def close(self) -> Path | None:
        """End, and wait for it; return the file, or None if there was nothing to record.

        Raises
        ------
        OSError
            If writing failed, e.g. since the disk is full; what was written before stays.
        """
        self.end()
        self._thread.join()
        if self._error is not None:
            raise OSError(f"recording {str(self.path)!r} broke off after {self._frames} frames: {self._error}")
        return self.path if self._frames else None

    def status(self) -> dict[str, Any]:
        """Return the path, the seconds recorded and lost, and what went wrong (or None)."""
        return {
            "path": str(self.path),
            "seconds": self._frames / self._rate,
            "lost_s": self._lost / self._rate,
            "error": None if self._error is None else str(self._error),
        }

    def _run(self) -> None:
        try:
            while True:
                try:
                    gap, audio = self._queue.get(timeout=_POLL_S)
                except queue.Empty:
                    if self._ending.is_set():
                        break
                    continue
                if gap:
                    self._put(np.zeros((gap, self._channels), np.float32))
                self._put(audio)
        except (OSError, RuntimeError) as error:
            self._error = error
        finally:
            self._file.close()
            if not self._frames:
                self.path.unlink(missing_ok=True)

    def _put(self, audio: Audio) -> None:
        # by hand: libsndfile scales floats by 2**23 - 1, which is not exact
        codes = np.clip(np.rint(audio * _SCALE), -_SCALE, _SCALE - 1).astype(np.int32) << 8
        self._file.write(codes)
        self._frames += len(codes)
