"""The level of `tiny`'s output: a slow hand on the fader.

Left alone, a language model may drift into a passage that is several dB louder or softer than it began, and stay there.
Loudness (ITU-R BS.1770-4, from band magnitudes) is averaged over some seconds; what it is off the TARGET, beyond FREE,
is taken back by a gain that never moves faster than RATE_DB nor further than RANGE. Pauses do not count. While an
energy is asked for, that is the level: the gain goes back to 0 dB.

State is a value.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jackdaw.engine.models.tiny_spectrum import FRAMES_PER_TOKEN, RATE, TOKEN_SAMPLES, band_edges

__all__ = ["FREE", "RANGE", "RATE_DB", "TARGET", "LevelState", "init", "loudness", "step"]

TARGET = -18.0
"""LUFS: a full band's loudness in the songs that the model learned from (their median is -20.6, solos included)."""
FREE = 0.5
"""LU either way that are left to the music."""
RANGE = 6.0
"""Most dB of gain either way."""
RATE_DB = 1.0
"""Most dB a second by which the gain moves."""

_SECONDS = 6.0  # over which loudness is averaged
_PAUSE = -50.0  # LUFS
_STEP = TOKEN_SAMPLES / RATE


def _weights() -> NDArray[np.float32]:
    """Mean square, K-weighted, of a sine in each band that reads 1 in one bin, times the bins of the band."""
    edges = band_edges()
    turn = np.exp(-2j * np.pi * (edges[1:] + edges[:-1]) / 2 / RATE)
    response = np.ones(len(turn), complex)
    for b, a in (
        ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585)),
        ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621)),
    ):
        response *= np.polyval(b[::-1], turn) / np.polyval(a[::-1], turn)
    bins = np.diff(edges) / 25.0
    # under the Hann window a sine reads 1 in its bin and 1/2 beside it: squares add up to three times its mean square
    weights: NDArray[np.float32] = (np.abs(response) ** 2 * bins / 3.0).astype(np.float32)
    return weights


_WEIGHTS = _weights()


class LevelState(NamedTuple):
    """The level of one stream.

    Parameters
    ----------
    power
        Mean of the K-weighted power over the last seconds.
    gain_db
        Gain at the end of the last step.
    """

    power: np.float64
    gain_db: np.float64


def init() -> LevelState:
    """Return the state of a stream that has played nothing: on target."""
    return LevelState(np.float64(10.0 ** ((TARGET + 0.691) / 10.0)), np.float64(0.0))


def loudness(bands: NDArray[np.float32]) -> float:
    """Return the loudness in LUFS of band magnitudes of left, right and mid, (frames, 3, BANDS), -120 at least."""
    power = float(np.square(bands[:, :2], dtype=np.float64).mean(axis=0).sum(axis=0) @ _WEIGHTS)
    return -0.691 + 10.0 * np.log10(max(power, 1e-12))


def step(state: LevelState, bands: NDArray[np.float32], *, asked: bool) -> tuple[LevelState, NDArray[np.float32]]:
    """Return the next state and the gain of each sample of a step, linear, float32 (TOKEN_SAMPLES,).

    Parameters
    ----------
    state
        From :func:`init` or an earlier step.
    bands
        What the step plays: magnitudes, float32 (FRAMES_PER_TOKEN, 3, BANDS).
    asked
        Whether somebody asks for a level.
    """
    assert len(bands) == FRAMES_PER_TOKEN
    now, power = loudness(bands), float(state.power)
    if now > _PAUSE:
        power += (10.0 ** ((now + 0.691) / 10.0) - power) * _STEP / _SECONDS
    off = TARGET - (-0.691 + 10.0 * np.log10(power))
    wanted = 0.0 if asked else float(np.clip(np.sign(off) * max(abs(off) - FREE, 0.0), -RANGE, RANGE))
    before = float(state.gain_db)
    after = before + float(np.clip(wanted - before, -RATE_DB * _STEP, RATE_DB * _STEP))
    first, last = 10.0 ** (before / 20.0), 10.0 ** (after / 20.0)
    gains = np.linspace(first, last, TOKEN_SAMPLES + 1)[1:].astype(np.float32)
    return LevelState(np.float64(power), np.float64(after)), gains
