"""Sample-rate conversion of a stream, by soxr HQ; equal rates pass through untouched.

The engine converts on its own side of the rings, so that the audio thread only copies.
"""

import numpy as np
import soxr
from numpy.typing import NDArray

__all__ = ["StreamResampler"]


class StreamResampler:
    """Convert a stream of blocks from one rate to another.

    Output is aligned with input: output frame j lies at input time j * rate_in / rate_out; the filter's delay shows
    only as output that comes later than its input (:attr:`pending`).

    Parameters
    ----------
    rate_in, rate_out
        Hz, 1000..768000.
    channels
        1 or more.

    Raises
    ------
    ValueError
        If a rate or the number of channels is out of range.
    """

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        for rate in (rate_in, rate_out):
            if not 1000 <= rate <= 768000:
                raise ValueError(f"sample rate {rate}: must be 1000 to 768000 Hz")
        if channels < 1:
            raise ValueError(f"{channels} channels: must be 1 or more")
        self.rate_in = rate_in
        self.rate_out = rate_out
        self.channels = channels
        self._frames_in = 0
        self._frames_out = 0
        self._stream: soxr.ResampleStream | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the stream so far."""
        self._frames_in = 0
        self._frames_out = 0
        if self.rate_in != self.rate_out:
            self._stream = soxr.ResampleStream(
                self.rate_in, self.rate_out, self.channels, dtype="float32", quality="HQ"
            )

    @property
    def identity(self) -> bool:
        """Whether the rates are equal: audio passes bit-exactly and at once."""
        return self._stream is None

    @property
    def pending(self) -> float:
        """Output frames that are owed for the input so far: the present delay, in output frames."""
        return self._frames_in * self.rate_out / self.rate_in - self._frames_out

    def process(self, audio: NDArray[np.float32], last: bool = False) -> NDArray[np.float32]:
        """Convert the next block.

        Parameters
        ----------
        audio
            float32, shape (frames, channels); any number of frames.
        last
            The stream ends here: all that is owed comes out. :meth:`reset` before going on.

        Returns
        -------
        audio
            float32, shape (frames out, channels): what is ready by now, perhaps nothing.

        Raises
        ------
        ValueError
            If the shape does not fit.
        """
        if audio.ndim != 2 or audio.shape[1] != self.channels:
            raise ValueError(f"resampler: audio has shape {audio.shape}, not (frames, {self.channels})")
        block = np.ascontiguousarray(audio, np.float32)
        result: NDArray[np.float32] = block
        if self._stream is not None:
            result = self._stream.resample_chunk(block, last=last).reshape(-1, self.channels)
        self._frames_in += len(block)
        self._frames_out += len(result)
        return result
