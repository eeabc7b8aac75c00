"""The resampler adds nothing that can be heard, and its blocks are one stream."""

import numpy as np
import pytest
from numpy.typing import NDArray

from jackdaw.dsp import StreamResampler

RATES = [(48000, 44100), (44100, 48000), (48000, 96000), (96000, 48000), (48000, 16000), (24000, 48000)]


def _tone(rate: int, frequency: float, seconds: float = 1.0) -> NDArray[np.float32]:
    wave = 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)
    return np.stack([wave, wave[::-1]], axis=1).astype(np.float32)


def _whole(rate_in: int, rate_out: int, audio: NDArray[np.float32]) -> NDArray[np.float32]:
    return StreamResampler(rate_in, rate_out, audio.shape[1]).process(audio, last=True)


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
@pytest.mark.parametrize("frequency", [60.0, 997.0, 6000.0])
def test_a_tone_stays_where_it_was_with_120_db_of_silence_around_it(
    rate_in: int, rate_out: int, frequency: float
) -> None:
    out = _whole(rate_in, rate_out, _tone(rate_in, frequency))[:, 0].astype(np.float64)
    expected = 0.5 * np.sin(2 * np.pi * frequency * np.arange(len(out)) / rate_out)
    middle = slice(len(out) // 4, -len(out) // 4)  # the ends ring: there the tone itself begins and ends
    error = np.sqrt(np.mean((out[middle] - expected[middle]) ** 2))
    assert 20 * np.log10(error / np.sqrt(0.125)) < -120


@pytest.mark.parametrize("rate_out", [44100, 24000, 16000])
def test_what_the_lower_rate_cannot_hold_is_gone(rate_out: int) -> None:
    out = _whole(48000, rate_out, _tone(48000, 0.5 * rate_out + 900.0))[:, 0]
    middle = out[len(out) // 4 : -len(out) // 4].astype(np.float64)
    assert 20 * np.log10(np.sqrt(np.mean(middle**2)) / np.sqrt(0.125) + 1e-12) < -110


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_any_split_into_blocks_gives_the_same_stream(rate_in: int, rate_out: int) -> None:
    rng = np.random.default_rng(7)
    audio = rng.uniform(-0.5, 0.5, (30_000, 2)).astype(np.float32)
    whole = _whole(rate_in, rate_out, audio)
    stream = StreamResampler(rate_in, rate_out, 2)
    parts, at = [], 0
    while at < len(audio):
        n = int(rng.integers(1, 3000))
        parts.append(stream.process(audio[at : at + n], last=at + n >= len(audio)))
        at += n
    assert np.array_equal(np.concatenate(parts), whole)
    assert abs(len(whole) - len(audio) * rate_out / rate_in) <= 1


@pytest.mark.parametrize(("rate_in", "rate_out"), RATES)
def test_what_is_pending_is_told_and_bounded(rate_in: int, rate_out: int) -> None:
    stream = StreamResampler(rate_in, rate_out, 2)
    made = 0
    for _ in range(200):
        made += len(stream.process(np.zeros((441, 2), np.float32)))
    assert stream.pending == pytest.approx(200 * 441 * rate_out / rate_in - made)
    assert 0 <= stream.pending / rate_out < 0.1


def test_equal_rates_pass_bit_exactly_and_at_once() -> None:
    audio = np.random.default_rng(1).standard_normal((1000, 2)).astype(np.float32)
    stream = StreamResampler(48000, 48000, 2)
    assert stream.identity
    for n in (1, 7, 500):
        assert np.array_equal(stream.process(audio[:n]), audio[:n])
    assert stream.pending == 0


def test_a_reset_forgets() -> None:
    audio = np.random.default_rng(1).standard_normal((5000, 2)).astype(np.float32)
    stream = StreamResampler(48000, 44100, 2)
    stream.process(audio[::-1])
    stream.reset()
    assert np.array_equal(stream.process(audio, last=True), _whole(48000, 44100, audio))


@pytest.mark.parametrize(("rate_in", "rate_out", "channels"), [(0, 48000, 2), (48000, 10**6, 2), (48000, 44100, 0)])
def test_rates_and_channels_out_of_range_are_refused(rate_in: int, rate_out: int, channels: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        StreamResampler(rate_in, rate_out, channels)


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        StreamResampler(48000, 44100, 2).process(np.zeros((10, 1), np.float32))
