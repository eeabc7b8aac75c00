"""Promise: what JACK is told is what a click needs round the loop, within one period."""

import numpy as np
import pytest


@pytest.mark.jack
@pytest.mark.parametrize("freewheel", [True, False], ids=["freewheel", "real time"])
@pytest.mark.parametrize(("rate", "period"), [(48000, 128), (48000, 1024), (44100, 256)])
def test_click(studio, rate, period, freewheel):
    room = studio(rate, period, "beep-echo")
    room.start_server()
    room.start_engine()
    room.start_bridge("--no-connect")
    room.wait_for_sound()
    clicks = np.zeros((2 * rate, 2), np.float32)
    clicks[rate // 2 :: rate // 2] = 0.5
    take = room.probe(2 * rate, *(["-w"] if freewheel else []), play=clicks, say=True).result()
    at = np.flatnonzero(np.abs(take.audio[:, 0]) > 0.25)
    sent = np.flatnonzero(clicks[:, 0])
    # where JACK or the engine lost a cycle, that click proves nothing; most must come through
    pairs = [(s, at[(at > s) & (at < s + rate // 2)]) for s in sent if s + rate // 2 <= len(clicks)]
    measured = [int(echo[0] - s) for s, echo in pairs if len(echo)]
    assert measured
    told = take.seen["capture_latency"]
    assert told[0] == told[1] > 0
    assert take.seen["playback_latency"] == told
    if freewheel:
        assert len(measured) == len(pairs)
        # the probe feeds the loop and hears it: JACK puts a period of delay into such a ring
        assert all(abs(loop - told[0]) <= period for loop in measured), (measured, told)
    elif take.seen["missed"] == 0 and not room.observe().underruns:
        assert all(abs(loop - told[0]) <= period for loop in measured), (measured, told)
