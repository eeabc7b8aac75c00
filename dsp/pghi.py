"""Phase from magnitudes, frame by frame, without look-ahead: the Python face of the native phase reconstruction.

State is a value: :func:`pghi_step` reads one and returns the next, and never writes into what it was given, so a
stream can be kept, restored and forked. Splitting the frames of a stream over calls in any way gives the same bytes.
The conventions of the frames (periodic Hann window as long as the FFT, time zero at the frame's first sample) stand in
``jackdaw/pghi.h``.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jackdaw.dsp._native import ffi, lib

__all__ = ["PghiState", "pghi_init", "pghi_step", "stereo_spectra"]


class PghiState(NamedTuple):
    """State of one stream of phase reconstruction; a value, never written in place.

    Parameters
    ----------
    history
        float32, shape (4, n_bins): log magnitudes of the last two frames, phase and time slope of the last.
    frame
        uint64 scalar: frames done, which numbers the random phases.
    seed
        uint64 scalar: of the random phases.
    hop
        uint32 scalar: samples between frames.
    """

    history: NDArray[np.float32]
    frame: np.uint64
    seed: np.uint64
    hop: np.uint32


def pghi_init(n_bins: int, *, hop: int | None = None, seed: int = 0) -> PghiState:
    """Return the state of a new stream, as after endless silence.

    Parameters
    ----------
    n_bins
        Bins of a frame, at least 3; the FFT and the window are ``2 * (n_bins - 1)`` samples long.
    hop
        Samples between frames, 1 .. ``2 * (n_bins - 1)``; a quarter of the window if not given.
    seed
        Of the random phases that bins far below the frame's peak get; 0 .. 2**64 - 1.

    Raises
    ------
    ValueError
        If `n_bins` or `hop` is out of range.
    """
    if n_bins < 3:
        raise ValueError(f"n_bins is {n_bins}: phase reconstruction needs at least 3 bins")
    fft = 2 * (n_bins - 1)
    step = fft // 4 if hop is None else hop
    if not 1 <= step <= fft:
        raise ValueError(f"hop is {step}: give 1 to {fft} samples, the length of the window")
    floats = lib.jd_pghi_state_floats(n_bins)
    history = np.zeros((floats // n_bins, n_bins), np.float32)
    return PghiState(history, np.uint64(0), np.uint64(seed), np.uint32(step))


def pghi_step(
    state: PghiState,
    magnitude: NDArray[np.float32],
    turns: NDArray[np.float32] | None = None,
    phases: NDArray[np.float32] | None = None,
    *,
    tolerance: float = 1e-6,
) -> tuple[PghiState, NDArray[np.float32]]:
    """Reconstruct the phases of the next frames of a stream.

    Parameters
    ----------
    state
        From :func:`pghi_init` or an earlier step.
    magnitude
        float32, shape (frames, n_bins), linear, finite and >= 0.
    turns
        float32, shape (frames, count): how far the phases of the `count` lowest bins turn from the frame before to each
        frame, beyond the 2 pi k hop / fft by which bin k turns in any case; radians, at most 2 pi either way. None:
        nothing is known but magnitudes.
    phases
        float32, shape (frames, count): the phases of the `count` lowest bins themselves, radians, at most 2 pi either
        way. Turns are then not read.
    tolerance
        Bins with less than this part (0..1, amplitude) of the largest magnitude in a frame and the one before get a
        random phase.

    Returns
    -------
    state, phase
        The next state, and phases in radians, float32, shape (frames, n_bins), -pi..pi.

    Raises
    ------
    ValueError
        If a shape does not fit the state, a magnitude is negative or not finite, a turn, a phase or `tolerance` is
        out of range.
    """
    n_bins = state.history.shape[1]
    if magnitude.ndim != 2 or magnitude.shape[1] != n_bins:
        raise ValueError(f"magnitude has shape {magnitude.shape}: this stream takes (frames, {n_bins})")
    frames = magnitude.shape[0]
    name, low = ("turns", turns) if phases is None else ("phases", phases)
    known = np.zeros((frames, 0), np.float32) if low is None else np.ascontiguousarray(low, np.float32)
    if known.ndim != 2 or known.shape[0] != frames or known.shape[1] > n_bins:
        raise ValueError(f"{name} has shape {known.shape}: give ({frames}, up to {n_bins})")
    values = np.ascontiguousarray(magnitude, np.float32)
    history = state.history.copy()
    phase = np.empty((frames, n_bins), np.float32)
    workspace = np.empty(lib.jd_pghi_workspace_bytes(n_bins) // 8 + 1, np.uint64)
    config = ffi.new("jd_pghi_config *")
    config.bins, config.fft, config.hop, config.turns = n_bins, 2 * (n_bins - 1), int(state.hop), known.shape[1]
    config.tolerance, config.seed = tolerance, int(state.seed)
    done = lib.jd_pghi_step(
        config,
        frames,
        ffi.from_buffer("float[]", values),
        *(ffi.from_buffer("float[]", known) if name == given else ffi.NULL for given in ("turns", "phases")),
        int(state.frame),
        ffi.from_buffer("float[]", history, require_writable=True),
        ffi.from_buffer("float[]", phase, require_writable=True),
        ffi.from_buffer(workspace, require_writable=True),
    )
    if done < 0:
        raise ValueError(f"tolerance is {tolerance}: give more than 0 and less than 1")
    if done < frames:
        raise ValueError(
            f"frame {int(state.frame) + done} has a negative or non-finite magnitude, or a turn or phase of more than "
            "2 pi"
        )
    return state._replace(history=history, frame=np.uint64(int(state.frame) + frames)), phase


def stereo_spectra(
    left: NDArray[np.float32],
    right: NDArray[np.float32],
    mid: NDArray[np.float32],
    mid_phase: NDArray[np.float32],
) -> tuple[NDArray[np.complex64], NDArray[np.complex64]]:
    """Spectra of left and right from three magnitudes and the phase of mid = (left + right) / 2, by the cosine rule.

    Parameters
    ----------
    left, right, mid
        Linear magnitudes, float32, all of one shape.
    mid_phase
        Radians, float32, of that shape.

    Returns
    -------
    left, right
        complex64, of that shape. Their magnitudes are those given; wherever the three magnitudes can belong together,
        their sum is twice mid.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    arrays = [np.ascontiguousarray(x, np.float32) for x in (left, right, mid, mid_phase)]
    if len({x.shape for x in arrays}) != 1:
        raise ValueError(f"shapes of left, right, mid and mid_phase differ: {[x.shape for x in arrays]}")
    spectra = (np.empty(arrays[0].shape, np.complex64), np.empty(arrays[0].shape, np.complex64))
    lib.jd_stereo_spectra(
        arrays[0].size,
        *(ffi.from_buffer("float[]", x) for x in arrays),
        *(ffi.from_buffer("float[]", x.view(np.float32), require_writable=True) for x in spectra),
    )
    return spectra
