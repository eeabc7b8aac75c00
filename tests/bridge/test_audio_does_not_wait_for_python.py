"""Promise: a busy interpreter in the client's process costs no sound; the callback is C and never meets it."""

import time

import pytest


@pytest.mark.jack
def test_callbacks_stay_short(studio):
    room = studio(48000, 128)
    room.start_server()
    room.start_engine()
    room.start_bridge("--no-connect", "--debug-burn")
    room.wait_for_sound()
    seen = room.observe()
    blocks, late, underruns = seen.blocks, seen.late_callbacks, seen.underruns
    time.sleep(3.0)
    blocks, late, underruns = seen.blocks - blocks, seen.late_callbacks - late, seen.underruns - underruns
    # a callback in Python waits for the interpreter in every block; what is left here is the machine's stalling
    assert blocks > 0
    assert late <= 0.01 * blocks
    assert underruns <= seen.xruns
