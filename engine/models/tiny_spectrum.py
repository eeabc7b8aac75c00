"""Spectra of `tiny`: audio to band magnitudes, and band magnitudes back to audio.

Frames are real FFTs of 1920 samples under a periodic Hann window, one every 480 samples (100 a second at 48 kHz); frame
j covers samples 480j-1440 .. 480j+479 and the past before sample 0 is silence, so that nothing depends on the future.
Four frames make one token frame of 1920 samples. Magnitudes are scaled such that a full-scale sine reads 1.0 in its
bin.

Band magnitudes are root mean squares over the bins of a band: 25 Hz wide up to 6 kHz, then 50, 100 and 300 Hz. They are
kept for left, right and mid = (left + right) / 2; phases are made again from them: mid's by phase gradient heap
integration, left's and right's from mid's by the cosine rule. Magnitudes alone tell the frequencies of low notes badly:
they lie closer together than a window of 40 ms can part. So for mid's lowest bins phases can be known as well: as they
are, or by how much they turn from frame to frame, beyond the 2 pi k HOP / WINDOW by which bin k turns in any case.
Overlap-add completes a sample 1440 samples after its frame began: :func:`synthesise_step` returns audio that lags its
bands by :data:`LOOKAHEAD`.

States are values; no function here writes into what it was given. Splitting a stream over calls changes nothing.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jackdaw.dsp.pghi import PghiState, pghi_init, pghi_step, stereo_spectra

__all__ = [
    "BANDS",
    "BINS",
    "CENTRE",
    "FRAMES_PER_TOKEN",
    "HEARING",
    "HOP",
    "LOOKAHEAD",
    "RATE",
    "SPREAD",
    "TOKEN_SAMPLES",
    "TURNS",
    "WINDOW",
    "SynthesisState",
    "analyse_init",
    "analyse_step",
    "band_edges",
    "bands_of_spectra",
    "bins_of_bands",
    "phases_of_spectra",
    "synthesise_init",
    "synthesise_step",
    "turns_of_spectra",
]

RATE = 48000
"""Samples per second."""
WINDOW = 1920
"""Samples under the window; also the FFT length."""
HOP = 480
"""Samples between frames."""
FRAMES_PER_TOKEN = 4
TOKEN_SAMPLES = FRAMES_PER_TOKEN * HOP
"""Samples per token frame."""
BINS = WINDOW // 2 + 1
LOOKAHEAD = WINDOW - HOP
"""Samples by which synthesised audio lags the bands it was made from."""

_LAYOUT = ((241, 1), (60, 2), (50, 4), (33, 12))
"""Bands as (count, bins per band): to 6 kHz, 9 kHz, 14 kHz and 23.9 kHz; the four bins above belong to no band."""
BANDS = sum(count for count, _ in _LAYOUT)

HEARING = 3e-4
"""Added to magnitudes before the logarithm where the codec listens (-70 dB of a full-scale sine), so that codes are not
spent on what is hardly heard."""

CENTRE, SPREAD = -6.5, 2.5
"""Log magnitudes of music lie around the one, spread by the other; networks are given normalised values."""

TURNS = 64
"""Lowest bins whose phases or turns are kept: to 1.6 kHz, where chords are."""

_ANALYSIS = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
_SCALE = np.float32(2 / _ANALYSIS.sum(dtype=np.float64))
# Squares of a Hann window that overlap by three quarters add up to 3/2; undo the magnitude scale as well.
_SYNTHESIS = (_ANALYSIS / (1.5 * float(_SCALE))).astype(np.float32)

Floats = NDArray[np.float32]
Spectra = NDArray[np.complex64]


class SynthesisState(NamedTuple):
    """State of one stream of synthesis; a value, never written in place.

    Parameters
    ----------
    tail
        float32, shape (2, LOOKAHEAD): samples to which later frames still add.
    phase
        State of the phase reconstruction of mid.
    """

    tail: Floats
    phase: PghiState


def analyse_init() -> Floats:
    """Return the state of a new analysis: the last LOOKAHEAD samples of silence, float32, shape (LOOKAHEAD, 2)."""
    return np.zeros((LOOKAHEAD, 2), np.float32)


def analyse_step(state: Floats, audio: Floats) -> tuple[Floats, Floats, Spectra]:
    """Analyse the next samples of a stream.

    Parameters
    ----------
    state
        From :func:`analyse_init` or an earlier step.
    audio
        float32, shape (HOP * frames, 2), nominal range -1..1.

    Returns
    -------
    state, bands, spectra
        The next state; band magnitudes of left, right, mid, float32, shape (frames, 3, BANDS), linear; and the spectra
        of left and right, complex64, shape (frames, 2, BINS), for who wants phases.

    Raises
    ------
    ValueError
        If `audio` is not stereo or not a whole number of frames.
    """
    if audio.ndim != 2 or audio.shape[1] != 2 or audio.shape[0] % HOP:
        raise ValueError(f"audio has shape {audio.shape}: give (a multiple of {HOP}, 2) samples")
    known = np.concatenate([state, audio.astype(np.float32, copy=False)])
    frames = audio.shape[0] // HOP
    if frames == 0:
        return state, np.zeros((0, 3, BANDS), np.float32), np.zeros((0, 2, BINS), np.complex64)
    channels = np.ascontiguousarray(known.T)
    windows = np.lib.stride_tricks.sliding_window_view(channels, WINDOW, axis=1)[:, ::HOP]
    spectra = np.fft.rfft(windows * (_ANALYSIS * _SCALE), axis=-1).astype(np.complex64, copy=False).swapaxes(0, 1)
    return known[-LOOKAHEAD:].copy(), bands_of_spectra(spectra), spectra


def bands_of_spectra(spectra: Spectra) -> Floats:
    """Return band magnitudes of left, right and mid, float32, shape (frames, 3, BANDS).

    Parameters
    ----------
    spectra
        Of left and right, complex64, shape (frames, 2, BINS).
    """
    frames = spectra.shape[0]
    power = np.empty((frames, 3, BINS), np.float32)
    power[:, :2] = spectra.real**2 + spectra.imag**2
    mid = spectra[:, 0] + spectra[:, 1]
    power[:, 2] = 0.25 * (mid.real**2 + mid.imag**2)
    parts, start = [], 0
    for count, width in _LAYOUT:
        part = power[..., start : start + count * width]
        parts.append(part if width == 1 else part.reshape(frames, 3, count, width).mean(axis=-1))
        start += count * width
    bands: Floats = np.sqrt(np.concatenate(parts, axis=-1))
    return bands


def phases_of_spectra(spectra: Spectra) -> Floats:
    """Return the phases of mid's lowest bins, radians, -pi..pi, float32, (frames, TURNS).

    Parameters
    ----------
    spectra
        Of left and right, complex64, shape (frames, 2, BINS).
    """
    phases: Floats = np.angle(spectra[:, :, :TURNS].sum(axis=1)).astype(np.float32)
    return phases


def turns_of_spectra(before: Spectra, spectra: Spectra) -> Floats:
    """Return the turns of mid's lowest bins from each frame to the next, radians, -pi..pi, float32, (frames, TURNS).

    Parameters
    ----------
    before
        The spectra of left and right of the frame before the first, complex64, shape (2, BINS).
    spectra
        Of the frames, complex64, shape (frames, 2, BINS).
    """
    mid = np.concatenate([before[None], spectra])[:, :, :TURNS].sum(axis=1)
    own = np.exp(-2j * np.pi * np.arange(TURNS) * HOP / WINDOW)
    turns: Floats = np.angle(mid[1:] * mid[:-1].conj() * own).astype(np.float32)
    return turns


def band_edges() -> NDArray[np.float64]:
    """Return where bands begin and end, in Hz: ascending, shape (BANDS + 1,)."""
    widths = np.repeat([width for _, width in _LAYOUT], [count for count, _ in _LAYOUT])
    return np.maximum(0, np.cumsum(np.concatenate([[0], widths])) - 0.5) * RATE / WINDOW


def bins_of_bands(bands: Floats) -> Floats:
    """Spread band magnitudes over their bins: float32, shape (..., BANDS) to (..., BINS)."""
    bins = np.zeros((*bands.shape[:-1], BINS), np.float32)
    band, start = 0, 0
    for count, width in _LAYOUT:
        bins[..., start : start + count * width] = np.repeat(bands[..., band : band + count], width, axis=-1)
        band, start = band + count, start + count * width
    return bins


def synthesise_init(seed: int = 0) -> SynthesisState:
    """Return the state of a new synthesis; `seed` gives the random phases of bins far below the peak."""
    return SynthesisState(np.zeros((2, LOOKAHEAD), np.float32), pghi_init(BINS, hop=HOP, seed=seed))


def synthesise_step(
    state: SynthesisState, bands: Floats, turns: Floats | None, phases: Floats | None = None
) -> tuple[SynthesisState, Floats]:
    """Make audio from the next band magnitudes, and turns or phases, of a stream.

    Parameters
    ----------
    state
        From :func:`synthesise_init` or an earlier step.
    bands
        Magnitudes of left, right and mid, float32, shape (frames, 3, BANDS), linear, >= 0.
    turns
        Of mid's lowest bins, radians, float32, shape (frames, TURNS). Not read, and not needed, if phases are given.
    phases
        Of the same bins, if known.

    Returns
    -------
    state, audio
        The next state and float32 audio, shape (HOP * frames, 2), LOOKAHEAD samples behind `bands`.

    Raises
    ------
    ValueError
        If a shape is wrong, a magnitude is negative or not finite, or a turn or phase is not finite.
    """
    if bands.ndim != 3 or bands.shape[1:] != (3, BANDS):
        raise ValueError(f"bands has shape {bands.shape}: give (frames, 3, {BANDS})")
    name, low = ("turns", turns) if phases is None else ("phases", phases)
    if low is None or low.shape != (len(bands), TURNS):
        raise ValueError(f"{name} has shape {None if low is None else low.shape}: give ({len(bands)}, {TURNS})")
    left, right, mid = np.ascontiguousarray(bins_of_bands(bands).swapaxes(0, 1))
    phase_state, phase = pghi_step(state.phase, mid, turns, phases)
    spectra = np.stack(stereo_spectra(left, right, mid, phase))
    pieces = np.fft.irfft(spectra, WINDOW, axis=-1).astype(np.float32, copy=False) * _SYNTHESIS
    frames = bands.shape[0]
    total = np.zeros((2, LOOKAHEAD + HOP * frames), np.float32)
    total[:, :LOOKAHEAD] = state.tail
    for frame in range(frames):
        total[:, frame * HOP : frame * HOP + WINDOW] += pieces[:, frame]
    done = np.ascontiguousarray(total[:, : HOP * frames].T)
    return SynthesisState(total[:, HOP * frames :].copy(), phase_state), done
