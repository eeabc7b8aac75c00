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
    blocks, late = seen.blocks, seen.late_callbacks
    time.sleep(3.0)
    blocks, late = seen.blocks - blocks, seen.late_callbacks - late
    # a callback in Python waits for the interpreter in every block; what is left here is the machine's stalling.
    # Underruns are not asked for: they tell of the engine's process, which a machine may stall as well.
    assert blocks > 0
    assert late <= 0.01 * blocks
