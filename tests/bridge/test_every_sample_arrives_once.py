"""Promise: what the engine writes comes out of JACK, at every rate and period: no sample lost, none twice."""

import numpy as np
import pytest
import soundfile

_STEP = 1.0 / (1 << 24)


@pytest.mark.jack
@pytest.mark.parametrize("rate", [44100, 48000, 88200, 96000])
@pytest.mark.parametrize("period", [64, 128, 256, 1024])
def test_ramp(studio, rate, period):
    room = studio(rate, period, "beep-ramp")
    room.start_server()
    room.start_engine()
    record = room.folder / "take.flac"
    room.start_bridge("--no-connect", "--record", str(record))
    room.wait_for_sound()
    take = room.probe(3 * rate, "-w").result()
    assert take.seen["missed"] == 0
    heard = take.audio
    if rate == 48000:
        index = np.rint(heard[:, 0].astype(np.float64) / _STEP).astype(np.int64)
        np.testing.assert_array_equal(index * np.float32(_STEP), heard[:, 0])
        np.testing.assert_array_equal(np.diff(index), 1)
    else:
        # a ramp stays a ramp: one lost or repeated frame is a step of a whole slope
        slope = _STEP * 48000 / rate
        np.testing.assert_allclose(np.diff(heard[:, 0].astype(np.float64)), slope, atol=slope / 4)
    np.testing.assert_array_equal(heard[:, 1], -heard[:, 0])
    assert room.bridge.stop() == 0
    assert room.bridge.said("recorded")[0]["lost"] == 0
    kept, kept_rate = soundfile.read(record, dtype="float32")
    assert kept_rate == rate
    # the file keeps 24 bits, a grid of 2**-23: find what the probe heard in it, and compare it all
    grid = np.rint(heard * np.float32(1 << 23)) / np.float32(1 << 23)
    starts = np.flatnonzero(kept[: len(kept) - len(grid) + 1, 0] == grid[0, 0])
    found = [at for at in starts if np.array_equal(kept[at : at + len(grid)], grid)]
    assert found, "the recording differs from what was played"
