"""How far the music is off the clock: a beat tracker on the session's own output.

The device thread gives each step with the time at which it is heard (:meth:`Drift.add`): that costs a few short Fourier
transforms. The rest is done by whoever asks (:meth:`Drift.status`), at most once a second. What passes between them is
one tuple, exchanged whole.

An onset envelope is kept, with the beat at each of its hops: how much louder the bands get, on a logarithmic scale.
Folded over half a beat of the clock, the onsets of music in time pile up at one place, and that place is the offset.
Half beats, so that loud off-beats do not turn it round; sixteenths and swung notes pile up elsewhere, and lower. All
this is done for tempi beside the clock's too, and the highest pile wins. It is sure if much of all onsets lies in that
pile.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models.contract import Audio, Clock

__all__ = ["Drift", "Offset", "offset_of"]

_Floats = NDArray[np.float64]

_HOP_S = 0.005
_WINDOW_S = 512 / 48000
_BANDS_HZ = (90.0, 185.0, 370.0, 750.0, 1500.0, 3000.0, 6000.0, 12000.0)
_SCALE = 10.0
_KEEP_S = 8.0
_LEAST_S = 4.0
_EVERY_S = 1.0
_JUMP_S = 0.030
_LEAST_ONSET = 1e-3
_PLACES = 64
_SMOOTH_S = 0.010
_NEAR_S = 0.025
_TEMPI = np.linspace(-0.02, 0.02, 41)
_DOUBT = 8.0  # how much less a pile counts by its tempo's distance from the clock's
_SURE = 0.4


@dataclass(frozen=True)
class Offset:
    """Where the music is.

    Parameters
    ----------
    ms
        How much later than the clock, at the end of what was measured; within a quarter of a beat. None: not sure.
    bpm
        The music's own tempo; None: not sure.
    sure
        0 to 1: the part of all onsets that lie on the pulse, beyond what chance would put there.
    """

    ms: float | None = None
    bpm: float | None = None
    sure: float = 0.0


@dataclass(frozen=True)
class _Part:
    """What a step adds: by how much it gets louder, and the beat, at each hop; and the tempo."""

    rises: _Floats
    beats: _Floats
    bpm: float


class Drift:
    """See the module.

    Parameters
    ----------
    say
        Logs an event with fields.
    """

    def __init__(self, say: Callable[..., None]) -> None:
        self._say = say
        self._error: str | None = None
        self._asked = 0.0
        self._told = (0, Offset())
        self._era = 0
        self._taper = np.zeros(0, np.float32)
        self.clear()

    # ---- device thread -------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Know nothing: another epoch, or no clock."""
        self._era += 1
        self._parts: tuple[_Part, ...] = ()
        self._rest = np.zeros(0, np.float32)
        self._loudness: _Floats | None = None
        self._next: Clock | None = None

    def add(self, audio: Audio, clock: Clock | None, rate: int) -> None:
        """Take what a step made; what goes wrong here is said once, and never stops the music.

        Parameters
        ----------
        audio
            Shape (samples, channels).
        clock
            When its first sample is heard; None: nobody tells the time.
        rate
            In Hz.
        """
        if self._error is not None:
            return
        try:
            self._add(audio, clock, rate)
        except Exception as error:
            self._break(error)

    def _add(self, audio: Audio, clock: Clock | None, rate: int) -> None:
        if clock is None:
            if self._next is not None:
                self.clear()
            return
        if self._next is not None and _apart(clock, self._next) > _JUMP_S:
            self.clear()
        hop, window = round(_HOP_S * rate), round(_WINDOW_S * rate)
        sound = np.concatenate([self._rest, audio @ np.full(audio.shape[1], 1.0 / audio.shape[1], np.float32)])
        count = max(0, (len(sound) - window) // hop + 1)
        per_sample = clock.bpm / 60.0 / rate
        if count:
            frames = np.lib.stride_tricks.sliding_window_view(sound, window)[::hop]
            if len(self._taper) != window:
                self._taper = np.hanning(window).astype(np.float32)
            spectrum = np.abs(np.fft.rfft(frames * self._taper, axis=1))
            edges = [max(1, round(hertz * window / rate)) for hertz in _BANDS_HZ]
            bands = np.add.reduceat(spectrum, edges, axis=1)
            loudness = np.log1p(_SCALE / window * bands).astype(np.float64)
            before = loudness[:1] if self._loudness is None else self._loudness
            rises = np.maximum(np.diff(loudness, axis=0, prepend=before), 0.0).sum(axis=1)
            centres = np.arange(count, dtype=np.float64) * hop + (window / 2 - len(self._rest))
            beats = clock.beat + centres * per_sample
            part = _Part(rises, beats, clock.bpm)
            kept = round(_KEEP_S * rate / len(audio))
            self._parts = (*self._parts[max(0, len(self._parts) - kept + 1) :], part)
            self._loudness = loudness[-1:]
        self._rest = sound[count * hop :]
        beat = (clock.beat + len(audio) * per_sample) % clock.beats_per_bar
        self._next = Clock(bpm=clock.bpm, beat=beat, beats_per_bar=clock.beats_per_bar)

    # ---- any thread ----------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Return ``offset_ms`` and ``bpm`` (None: not sure), ``sure`` (0 to 1) and ``error`` (None: it works)."""
        era, parts, now = self._era, self._parts, time.monotonic()
        if self._error is None and now - self._asked >= _EVERY_S:
            self._asked = now
            try:
                self._told = (era, _measured(parts))
            except Exception as error:
                self._break(error)
        of, told = self._told
        if of != self._era or self._error is not None:
            told = Offset()
        return {"offset_ms": told.ms, "bpm": told.bpm, "sure": told.sure, "error": self._error}

    def _break(self, error: Exception) -> None:
        self._error = f"{type(error).__name__}: {error}"
        self._say("the drift meter is broken, the music goes on", error=self._error)


def _apart(clock: Clock, other: Clock) -> float:
    """Return how far two times within the beat are apart, in seconds."""
    away = (clock.beat - other.beat + 0.5) % 1.0 - 0.5
    return abs(away) * 60.0 / clock.bpm


def _measured(parts: tuple[_Part, ...]) -> Offset:
    if not parts:
        return Offset()
    rises, beats = (np.concatenate([getattr(part, name) for part in parts]) for name in ("rises", "beats"))
    return offset_of(rises, beats, parts[-1].bpm)


def offset_of(rises: _Floats, beats: _Floats, bpm: float) -> Offset:
    """Return where the music is against the clock.

    Parameters
    ----------
    rises
        How much louder it gets at each hop of 5 ms.
    beats
        The clock's beat there; whole beats do not matter.
    bpm
        The clock's tempo.
    """
    if len(rises) * _HOP_S < _LEAST_S or rises.max() < _LEAST_ONSET:
        return Offset()
    onsets = _onsets(rises)
    half_s = 30.0 / bpm
    since = (np.arange(len(rises)) - (len(rises) - 1) / 2) * _HOP_S
    turns = 2.0 * beats + np.outer(_TEMPI, since / half_s)
    places = np.floor(turns % 1.0 * _PLACES).astype(np.intp) + np.arange(len(_TEMPI))[:, None] * _PLACES
    folded = np.bincount(places.ravel(), np.tile(onsets, len(_TEMPI)), len(_TEMPI) * _PLACES)
    waves = np.fft.rfft(folded.reshape(-1, _PLACES), axis=1)
    order = np.arange(waves.shape[1])
    piles = np.fft.irfft(waves * np.exp(-2.0 * (np.pi * order * _SMOOTH_S / half_s) ** 2), _PLACES, axis=1)
    piles *= 1.0 - _DOUBT * np.abs(_TEMPI)[:, None]
    row, place = np.unravel_index(np.argmax(piles), piles.shape)
    chance = 2.0 * _NEAR_S / half_s
    near = np.fft.irfft(waves[row] * np.sinc(order * chance) * chance * _PLACES, _PLACES)[place] / onsets.sum()
    sure = float(np.clip((near - chance) / (1.0 - chance), 0.0, 1.0))
    if sure < _SURE:
        return Offset(sure=sure)
    turn = (place + 0.5 + _summit(piles[row], int(place), around=True)) / _PLACES
    tempo = _TEMPI[row] + _summit(piles.max(axis=1), int(row), around=False) * (_TEMPI[1] - _TEMPI[0])
    late = float(turn * half_s - tempo * since[-1])
    return Offset(ms=((late / half_s + 0.5) % 1.0 - 0.5) * half_s * 1e3, bpm=float(bpm * (1.0 + tempo)), sure=sure)


def _onsets(rises: _Floats) -> _Floats:
    """Return what stands out of the half second around it."""
    around = np.ones(round(0.5 / _HOP_S))
    count = np.convolve(np.ones(len(rises)), around, "same")
    mean = np.convolve(rises, around, "same") / count
    spread = np.sqrt(np.maximum(np.convolve(rises**2, around, "same") / count - mean**2, 0.0))
    onsets: _Floats = np.maximum(rises - mean - 0.5 * spread, 0.0)
    return onsets


def _summit(heights: _Floats, at: int, *, around: bool) -> float:
    """Return how far the summit of the parabola through three heights is from the middle one; 0 at an edge."""
    if not around and not 0 < at < len(heights) - 1:
        return 0.0
    left, top, right = heights[at - 1], heights[at], heights[(at + 1) % len(heights)]
    bend = left - 2.0 * top + right
    return float(0.5 * (left - right) / bend) if bend < 0 else 0.0
