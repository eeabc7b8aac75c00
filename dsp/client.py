"""The rendering client from Python: steered here, run by the audio thread.

The audio thread owns everything inside; each method only leaves a wish behind, which the next block takes up.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from jackdaw.dsp._mapping import SegmentError
from jackdaw.dsp._native import ffi, lib

if TYPE_CHECKING:
    from jackdaw.dsp.segment import SegmentReader

__all__ = ["Client"]


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

    def release_notes(self) -> None:
        """Let go of all MIDI notes in the next block of JACK's: what played them has gone."""
        lib.jd_client_release_notes(self.pointer)

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
