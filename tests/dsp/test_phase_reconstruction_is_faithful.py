"""Phases made from magnitudes alone give back a signal that has those magnitudes, the same way every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from jackdaw.dsp.pghi import PghiState, pghi_init, pghi_step, stereo_spectra

RATE, WINDOW, HOP = 48000, 1920, 480
BINS = WINDOW // 2 + 1
HANN = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)

Floats = NDArray[np.float64]


def analyse(x: Floats) -> NDArray[np.complex128]:
    padded = np.concatenate([np.zeros(WINDOW - HOP), x])
    return np.fft.rfft(np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * HANN, axis=1)


def synthesise(spectra: NDArray[np.complex128]) -> Floats:
    out = np.zeros(len(spectra) * HOP + WINDOW - HOP)
    for j, piece in enumerate(np.fft.irfft(spectra, WINDOW, axis=1) * HANN):
        out[j * HOP : j * HOP + WINDOW] += piece
    return out[WINDOW - HOP :] / 1.5


def inconsistency(magnitude: Floats, phase: Floats) -> float:
    """Spectral convergence in dB: how far the magnitudes of what is heard are from those asked for."""
    heard = np.abs(analyse(synthesise(magnitude * np.exp(1j * phase))))
    frames = min(len(heard), len(magnitude))
    rest = np.linalg.norm(heard[:frames] - magnitude[:frames])
    return float(20 * np.log10(rest / np.linalg.norm(magnitude[:frames])))


def sweep(low: float, high: float, seconds: float = 3.0) -> Floats:
    t = np.arange(int(seconds * RATE)) / RATE
    rate = np.log(high / low) / seconds
    return 0.5 * np.sin(2 * np.pi * low * np.expm1(rate * t) / rate)


def band(seconds: float = 4.0) -> Floats:
    """Plucked chords with partials, a bass drum and noise bursts on the half beats, a little DC."""
    rng = np.random.default_rng(1)
    t = np.arange(int(seconds * RATE)) / RATE
    x = np.full_like(t, 0.01)
    for start in np.arange(0, seconds, 0.5):
        on, late = t >= start, t >= start + 0.25
        age = t[on] - start
        for note in rng.choice([48, 52, 55, 59, 60, 64, 67, 71, 72], 3, replace=False):
            pitch = 440 * 2 ** ((note - 69) / 12)
            for h in range(1, 20):
                wave = np.sin(2 * np.pi * pitch * h * age + rng.uniform(0, 2 * np.pi))
                x[on] += 0.05 / h * np.exp(-age * (2 + 0.3 * h)) * wave
        x[on] += 0.5 * np.exp(-12 * age) * np.sin(2 * np.pi * (50 * age + 1.5 * -np.expm1(-40 * age)))
        x[late] += 0.2 * np.exp(-60 * (t[late] - start - 0.25)) * rng.standard_normal(late.sum())
    return x


def magnitudes(x: Floats) -> NDArray[np.float32]:
    return np.abs(analyse(x)).astype(np.float32)


def reconstruct(magnitude: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    return pghi_step(pghi_init(BINS, seed=seed), magnitude)[1]


@pytest.mark.parametrize(
    ("signal", "bound"),
    [(sweep(80, 12000), -15.0), (sweep(12000, 200), -15.0), (sweep(300, 310), -15.0), (band(), -13.0)],
    ids=["sweep up", "sweep down", "steady tone", "chords and transients"],
)
def test_what_is_heard_has_the_magnitudes_asked_for(signal: Floats, bound: float) -> None:
    magnitude = magnitudes(signal)
    found = inconsistency(magnitude, reconstruct(magnitude))
    random = np.random.default_rng(0).uniform(-np.pi, np.pi, magnitude.shape)
    assert found < bound
    for other in (random, np.zeros(magnitude.shape)):
        assert found < inconsistency(magnitude, other) - 8.0, "at least 2.5 times nearer than without phases"


@pytest.mark.parametrize("count", [40, BINS])
def test_known_turns_are_kept_nearly(count: int) -> None:
    x = analyse(band())
    turns = np.zeros((len(x), count))
    own = np.exp(-2j * np.pi * np.arange(count) * HOP / WINDOW)
    turns[1:] = np.angle(x[1:, :count] * x[:-1, :count].conj() * own)
    magnitude = np.abs(x).astype(np.float32)
    _, phase = pghi_step(pghi_init(BINS), magnitude, turns.astype(np.float32))
    before, now = magnitude[:-1, :count], magnitude[1:, :count]
    steady = np.minimum(before, now) > 1e-3 * now.max(axis=1, keepdims=True)
    steady &= np.log(now / np.maximum(before, 1e-9)) < 1.0
    steady[:, [0, -1]] = False  # DC and Nyquist are real whatever was asked for

    def away(phase: NDArray[np.float32]) -> float:
        made = np.exp(1j * phase[:, :count].astype(np.float64))
        return float(np.median(np.abs(made[1:] * made[:-1].conj() * own - np.exp(1j * turns[1:]))[steady]))

    assert away(phase) < 0.1
    assert away(phase) < 0.5 * away(reconstruct(magnitude))
    assert inconsistency(magnitude, phase) < -13.0


def test_told_phases_are_kept_and_the_others_follow_them() -> None:
    x = analyse(band())
    magnitude, told = np.abs(x).astype(np.float32), np.angle(x[:, :40]).astype(np.float32)
    state, phase = pghi_step(pghi_init(BINS), magnitude, phases=told)
    sounding = magnitude > 1e-5 * magnitude.max()
    sounding[:, [0, *range(40, BINS)]] = False  # DC is real whatever was asked for
    away = np.abs(np.exp(1j * phase) - np.exp(1j * np.angle(x)))
    assert away[sounding].max() < 1e-3
    assert inconsistency(magnitude, phase) < inconsistency(magnitude, reconstruct(magnitude)) - 1.0
    middle, one = pghi_step(pghi_init(BINS), magnitude[:9], phases=told[:9])
    end, other = pghi_step(middle, magnitude[9:], phases=told[9:])
    assert np.concatenate([one, other]).tobytes() == phase.tobytes()
    assert same(state, end)
    assert np.isfinite(pghi_step(state, magnitude)[1]).all()


def test_a_constant_offset_does_not_wander() -> None:
    x = 0.3 + sweep(200, 400)
    assert inconsistency(magnitudes(x), reconstruct(magnitudes(x))) < -15.0


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=6).map(sorted))
def test_any_split_gives_the_same_bytes(cuts: list[int]) -> None:
    magnitude = magnitudes(band(0.6))[:60]
    turns = np.random.default_rng(0).uniform(-3, 3, (60, 30)).astype(np.float32)
    state = pghi_init(BINS, seed=7)
    parts = []
    for start, stop in zip([0, *cuts], [*cuts, 60], strict=True):
        state, phase = pghi_step(state, magnitude[start:stop], turns[start:stop])
        parts.append(phase)
    end, whole = pghi_step(pghi_init(BINS, seed=7), magnitude, turns)
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert same(state, end)


def same(a: PghiState, b: PghiState) -> bool:
    return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in zip(a, b, strict=True))


def test_a_forked_stream_goes_on_alike_and_leaves_its_origin_untouched() -> None:
    magnitude = magnitudes(band(1.0))
    middle, _ = pghi_step(pghi_init(BINS), magnitude[:40])
    kept = middle.history.tobytes()
    first, one = pghi_step(middle, magnitude[40:])
    pghi_step(middle, magnitude[:40])
    second, other = pghi_step(middle, magnitude[40:])
    assert one.tobytes() == other.tobytes()
    assert same(first, second)
    assert middle.history.tobytes() == kept


def test_random_phases_follow_the_seed_and_only_below_the_tolerance() -> None:
    magnitude = magnitudes(sweep(1000, 1100, 0.5))
    one, again, other = reconstruct(magnitude, 1), reconstruct(magnitude, 1), reconstruct(magnitude, 2)
    assert one.tobytes() == again.tobytes()
    differs = one != other
    peak = np.maximum(magnitude.max(1), np.concatenate([[0], magnitude.max(1)[:-1]]))
    assert differs.any()
    assert (magnitude < 2e-6 * peak[:, None])[differs].all()


def test_silence_stays_silent_and_music_comes_back_after_it() -> None:
    music = magnitudes(band(0.5))
    silence = np.zeros((50, BINS), np.float32)
    state, phase = pghi_step(pghi_init(BINS), silence)
    assert np.isfinite(phase).all()
    assert not synthesise(silence * np.exp(1j * phase)).any()
    state, phase = pghi_step(state, np.concatenate([music, silence, music]))
    assert np.isfinite(phase).all()
    assert np.abs(phase).max() <= np.float32(np.pi)


@pytest.mark.parametrize("extreme", [0.0, 1e-38, 1e-20, 1e18, 3e38])
def test_extreme_magnitudes_give_finite_phases(extreme: float) -> None:
    magnitude = np.full((5, BINS), extreme, np.float32)
    magnitude[2] = 1.0
    _, phase = pghi_step(pghi_init(BINS), magnitude)
    assert np.isfinite(phase).all()
    for spectrum in stereo_spectra(magnitude, magnitude, magnitude, phase):
        assert np.isfinite(spectrum.real).all()
        assert np.isfinite(spectrum.imag).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_bad_magnitudes_are_named(bad: float) -> None:
    magnitude = np.ones((4, BINS), np.float32)
    magnitude[2, 17] = bad
    with pytest.raises(ValueError, match="frame 2 "):
        pghi_step(pghi_init(BINS), magnitude)


def test_arguments_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match="n_bins"):
        pghi_init(2)
    with pytest.raises(ValueError, match="hop"):
        pghi_init(BINS, hop=WINDOW + 1)
    with pytest.raises(ValueError, match="shape"):
        pghi_step(pghi_init(BINS), np.ones((4, 5), np.float32))
    for shape in ((3, 5), (4, BINS + 1), (4,)):
        for name in ("turns", "phases"):
            with pytest.raises(ValueError, match=name):
                pghi_step(pghi_init(BINS), np.ones((4, BINS), np.float32), **{name: np.zeros(shape, np.float32)})
    for bad in (np.nan, np.inf, 7.0):
        low = np.zeros((4, 5), np.float32)
        low[3, 4] = bad
        for name in ("turns", "phases"):
            with pytest.raises(ValueError, match="frame 3 "):
                pghi_step(pghi_init(BINS), np.ones((4, BINS), np.float32), **{name: low})
    with pytest.raises(ValueError, match="tolerance"):
        pghi_step(pghi_init(BINS), np.ones((4, BINS), np.float32), tolerance=1.0)
    one = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match="shapes"):
        stereo_spectra(one, one, one, one[:1])


def test_stereo_keeps_the_three_magnitudes() -> None:
    rng = np.random.default_rng(5)
    left, right = (rng.standard_normal((2, 30, BINS)) + 1j * rng.standard_normal((2, 30, BINS))).astype(np.complex64)
    mid = (left + right) / 2
    made = stereo_spectra(np.abs(left), np.abs(right), np.abs(mid), np.angle(mid).astype(np.float32))
    np.testing.assert_allclose(np.abs(made[0]), np.abs(left), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(np.abs(made[1]), np.abs(right), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose((made[0] + made[1]) / 2, mid, atol=1e-3)


def test_stereo_of_impossible_magnitudes_keeps_left_and_right() -> None:
    left = np.float32([[1.0, 1.0, 0.0, 0.0, 1.0]])
    right = np.float32([[1.0, 0.2, 0.0, 1.0, 1.0]])
    mid = np.float32([[9.0, 0.0, 1.0, 0.5, 0.0]])
    made = stereo_spectra(left, right, mid, np.zeros_like(mid))
    np.testing.assert_allclose(np.abs(made[0]), left, atol=1e-6)
    np.testing.assert_allclose(np.abs(made[1]), right, atol=1e-6)
    np.testing.assert_allclose(made[0][0, 4] + made[1][0, 4], 0, atol=1e-6)
