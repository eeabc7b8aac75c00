"""What the engine makes comes out of the plugin: no sample lost, none twice, none altered, from the first one on."""

import numpy as np
import pytest

_STEP = 1.0 / (1 << 24)
_FADE = 240  # the first 5 ms fade in


def _indices(audio):
    return np.rint(audio.astype(np.float64) / _STEP).astype(np.int64)


def test_pedalboard_hears_the_ramp_to_the_bit(room):
    place = room("beep-ramp")
    told = place.call("render", rate=48000, block=512, frames=48000, times=2)
    audio = place.audio(1)
    assert audio.shape == (2, 48000)
    index = _indices(audio[0])
    np.testing.assert_array_equal(index * np.float32(_STEP), audio[0])
    np.testing.assert_array_equal(audio[1], -audio[0])
    # pedalboard drops as much as it was told is latency; music begins with the first frame of the render
    np.testing.assert_array_equal(index, np.arange(48000) + told["latency"] + 1)


def test_dawdreamer_hears_the_ramp_to_the_bit_from_its_first_frame(room):
    place = room("beep-ramp")
    place.call("dream", rate=48000, block=512, seconds=1.0, times=2)
    for number in (0, 1):
        audio = place.audio(number)
        np.testing.assert_array_equal(_indices(audio[0])[_FADE:], np.arange(_FADE, audio.shape[1]) + 1)
        np.testing.assert_array_equal(_indices(audio[0])[_FADE:] * np.float32(_STEP), audio[0][_FADE:])
        np.testing.assert_array_equal(audio[1], -audio[0])


@pytest.mark.parametrize("rate", [44100, 88200, 96000, 176400, 192000])
def test_no_gap_at_other_rates(room, rate):
    place = room("beep-ramp")
    place.call("dream", rate=rate, block=480, seconds=0.5)
    audio = place.audio(0)[:, rate // 50 :]
    slope = _STEP * 48000 / rate
    np.testing.assert_allclose(np.diff(audio[0].astype(np.float64)), slope, atol=slope / 4)
