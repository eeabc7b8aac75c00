"""The level of what `tiny` plays is kept near the target, slowly, unless somebody asks for a level."""

import sys
from pathlib import Path

import numpy as np
import pytest

from jackdaw.engine.models import tiny_level as fader
from jackdaw.engine.models.tiny_spectrum import FRAMES_PER_TOKEN, TOKEN_SAMPLES, analyse_init, analyse_step

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
from judge_music import loudness as lufs

QUIET_DB = (-9.0, -4.0, 0.0, 4.0, 9.0)


def noise(seconds=4, seed=0):
    """Noise that is darker than white, in stereo."""
    white = np.random.default_rng(seed).normal(size=(round(48000 * seconds), 2))
    return (0.02 * np.cumsum(white - np.roll(white, 40, axis=0), axis=0)).astype(np.float32)


def bands_at(loudness):
    _, bands, _ = analyse_step(analyse_init(), noise())
    bands = bands[100:300]
    bands = bands * 10 ** ((loudness - fader.loudness(bands)) / 20)
    return bands.astype(np.float32).reshape(-1, FRAMES_PER_TOKEN, *bands.shape[1:])


def run(state, steps, seconds, asked=False):
    gains = []
    for index in range(round(seconds * 25)):
        state, gain = fader.step(state, steps[index % len(steps)], asked=asked)
        gains.append(gain)
    return state, np.concatenate(gains)


def test_loudness_of_bands_is_that_of_the_sound():
    sound = noise(6)
    _, bands, _ = analyse_step(analyse_init(), sound)
    assert fader.loudness(bands) == pytest.approx(lufs(sound, 6, 6)[0], abs=0.3)


@pytest.mark.parametrize("off", QUIET_DB)
def test_what_strays_is_brought_back_as_far_as_the_range_goes(off):
    _, gain = run(fader.init(), bands_at(fader.TARGET + off), 60)
    wanted = -np.sign(off) * np.clip(abs(off) - fader.FREE, 0, fader.RANGE)
    assert 20 * np.log10(gain[-1]) == pytest.approx(wanted, abs=0.3)


def test_the_gain_never_jumps():
    state, first = run(fader.init(), bands_at(fader.TARGET - 20), 10)
    _, second = run(state, bands_at(fader.TARGET + 10), 10)
    gain_db = 20 * np.log10(np.concatenate([np.ones(1), first, second]).astype(float))
    assert np.abs(np.diff(gain_db)).max() <= 1.1 * fader.RATE_DB / 48000 + 1e-5
    assert len(first) == 250 * TOKEN_SAMPLES


def test_a_pause_is_not_filled():
    state, _ = run(fader.init(), bands_at(fader.TARGET), 20)
    after, gain = run(state, bands_at(-80.0), 30)
    assert after.power == state.power
    np.testing.assert_allclose(gain, gain[0])


def test_who_asks_for_a_level_gets_it():
    state, _ = run(fader.init(), bands_at(fader.TARGET - 5), 30)
    assert state.gain_db > 3
    state, gain = run(state, bands_at(fader.TARGET - 5), 30, asked=True)
    assert gain[-1] == 1.0


def test_the_level_is_part_of_the_state():
    state, _ = run(fader.init(), bands_at(fader.TARGET - 5), 3)
    again = fader.LevelState(*(np.array(value) for value in state))
    _, one = run(state, bands_at(fader.TARGET - 5), 2)
    _, two = run(again, bands_at(fader.TARGET - 5), 2)
    np.testing.assert_array_equal(one, two)
