"""Audio in memory and in files: :class:`Waveform`, reading, writing, resampling, cutting and joining.

Waveforms are values: no method writes into one. Files are written under a temporary name and renamed, so a stopped
program leaves either the whole file or none.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

__all__ = ["Waveform", "concatenate", "write_file"]

_FORMATS = {".wav": "WAV", ".flac": "FLAC"}


@contextlib.contextmanager
def write_file(path: str | Path, sample_rate: int, channels: int) -> Iterator[Callable[[NDArray[np.float32]], None]]:
    """Write a file piece by piece; a context manager that yields the function to append samples with.

    The file appears under its name when the context ends; if it ends with an exception, nothing is left behind. Equal
    samples give equal bytes.

    Parameters
    ----------
    path
        Ends in .wav or .flac.
    sample_rate, channels
        Of the samples, shape (samples, channels).

    Raises
    ------
    ValueError
        If the name has another ending.
    OSError
        If the file cannot be written.
    """
    name = Path(path)
    kind = _FORMATS.get(name.suffix.lower())
    if kind is None:
        raise ValueError(f"{str(name)!r}: give a name that ends in .wav or .flac")
    if not name.parent.is_dir():
        raise FileNotFoundError(f"{str(name)!r}: folder {str(name.parent)!r} is not there")
    partial = name.with_name(f".{name.name}.{os.getpid()}.part")
    try:
        # 24 bit: libsndfile puts the time of day into float WAV files
        with soundfile.SoundFile(partial, "w", sample_rate, channels, subtype="PCM_24", format=kind) as file:
            yield file.write
        os.replace(partial, name)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@dataclass(frozen=True, eq=False)
class Waveform:
    """A piece of audio.

    Parameters
    ----------
    samples
        float32, shape (samples, channels), nominal range -1..1. A 1-D array is one channel.
    sample_rate
        Hz.

    Raises
    ------
    ValueError
        If the shape or the rate makes no sense.
    """

    samples: NDArray[np.float32]
    sample_rate: int

    def __post_init__(self) -> None:
        array = np.asarray(self.samples, np.float32)
        if array.ndim == 1:
            array = array[:, None]
        if array.ndim != 2 or array.shape[1] < 1:
            raise ValueError(f"samples have shape {array.shape}; give (samples, channels)")
        if self.sample_rate < 1:
            raise ValueError(f"sample rate is {self.sample_rate}; give Hz above 0")
        object.__setattr__(self, "samples", array)

    @classmethod
    def from_file(cls, path: str | Path, *, longest: float | None = None) -> "Waveform":
        """Read a WAV, FLAC, OGG or MP3 file.

        Parameters
        ----------
        path
            Of the file.
        longest
            Seconds to read at most, from the start; None = all.

        Raises
        ------
        OSError
            If there is no such file.
        ValueError
            If it is not audio that can be read.
        """
        name = Path(path)
        if not name.is_file():
            raise FileNotFoundError(f"audio file {str(name)!r} is not there")
        try:
            with soundfile.SoundFile(name) as file:
                rate = int(file.samplerate)
                samples = file.read(-1 if longest is None else round(longest * rate), dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise ValueError(
                f"{str(name)!r} cannot be read as audio ({error.error_string}); give WAV, FLAC, OGG or MP3"
            ) from error
        return cls(samples, rate)

    def write(self, path: str | Path) -> None:
        """Write a WAV or FLAC file (24 bit; samples beyond -1..1 are clipped); see :func:`write_file`."""
        with write_file(path, self.sample_rate, self.channels) as append:
            append(self.samples)

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.samples.shape[1])

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def resample(self, sample_rate: int) -> "Waveform":
        """Return this at another rate (soxr, high quality); itself if the rate is the same."""
        if sample_rate == self.sample_rate:
            return self
        if not len(self):
            return Waveform(self.samples, sample_rate)
        return Waveform(soxr.resample(self.samples, self.sample_rate, sample_rate, quality="HQ"), sample_rate)

    def with_channels(self, channels: int) -> "Waveform":
        """Return this with 1 (the mean) or more channels (one channel is copied).

        Raises
        ------
        ValueError
            If channels would have to be invented or left out.
        """
        if channels == self.channels:
            return self
        if channels == 1:
            return Waveform(self.samples.mean(axis=1, keepdims=True, dtype=np.float64), self.sample_rate)
        if self.channels == 1:
            return Waveform(np.repeat(self.samples, channels, axis=1), self.sample_rate)
        raise ValueError(f"{self.channels} channels cannot become {channels}; mix them to 1 first")

    def cut(self, start: float = 0.0, end: float | None = None) -> "Waveform":
        """Return the part from `start` to `end`, in seconds; beyond the ends there is nothing."""
        first = max(0, round(start * self.sample_rate))
        last = len(self) if end is None else max(0, round(end * self.sample_rate))
        return Waveform(self.samples[first:last], self.sample_rate)

    def peak(self) -> float:
        """Return the largest magnitude, 0 for no samples."""
        return float(np.abs(self.samples).max()) if self.samples.size else 0.0


def concatenate(chunks: Sequence[Waveform], crossfade_time: float = 0.0) -> Waveform:
    """Join pieces of audio end to end.

    Parameters
    ----------
    chunks
        At least one, of one rate and one number of channels.
    crossfade_time
        Seconds by which neighbours overlap: the end of one fades out (equal power) while the next fades in.

    Raises
    ------
    ValueError
        If there are no chunks, they differ in rate or channels, or one is shorter than the crossfade.
    """
    if not chunks:
        raise ValueError("no chunks to concatenate")
    rate, channels = chunks[0].sample_rate, chunks[0].channels
    for number, chunk in enumerate(chunks):
        if (chunk.sample_rate, chunk.channels) != (rate, channels):
            raise ValueError(
                f"chunk {number} has {chunk.channels} channels at {chunk.sample_rate} Hz, "
                f"the first has {channels} at {rate} Hz"
            )
    overlap = round(crossfade_time * rate)
    if overlap < 0 or (len(chunks) > 1 and overlap > min(len(chunk) for chunk in chunks)):
        raise ValueError(f"crossfade of {crossfade_time} s: give 0 up to the length of the shortest chunk")
    total = sum(len(chunk) for chunk in chunks) - overlap * (len(chunks) - 1)
    joined = np.zeros((total, channels), np.float32)
    fade = np.sin(np.linspace(0.0, np.pi / 2, overlap, endpoint=False))[:, None]
    at = 0
    for number, chunk in enumerate(chunks):
        part = chunk.samples.copy()
        if number and overlap:
            part[:overlap] *= fade
        if number < len(chunks) - 1 and overlap:
            part[-overlap:] *= fade[::-1]
        joined[at : at + len(part)] += part
        at += len(part) - overlap
    return Waveform(joined, rate)
