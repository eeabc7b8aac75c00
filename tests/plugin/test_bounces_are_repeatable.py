"""Rendering offline twice gives equal bytes, whatever came before, and in another host process too."""

import numpy as np


def test_twice_in_one_instance_and_in_another_process(room):
    place = room("beep")
    place.call("render", rate=48000, block=512, frames=96000, times=3, impulses=[5000, 5001, 40000])
    second, third = (place.audio(number) for number in (1, 2))
    np.testing.assert_array_equal(second, third)
    place.call("render", rate=48000, block=512, frames=96000, times=2, impulses=[5000, 5001, 40000])
    np.testing.assert_array_equal(place.audio(1), second)
    assert np.abs(second).max() > 0.2


def test_dawdreamer_twice(room):
    place = room("beep")
    place.call("dream", rate=44100, block=333, seconds=1.5, times=2, impulses=[3000])
    np.testing.assert_array_equal(place.audio(0), place.audio(1))


def test_seeds_differ(room):
    place = room("beep")
    state = '<jackdaw version="1" model="beep" seed="{}"><prompt slot="1" text="jazz"/></jackdaw>'
    takes = []
    for seed in (1, 2):
        place.call("stay", seconds=0.5, pace=100.0, xml=state.format(seed))
        takes.append(place.audio("played")[:, :24000])
    assert not np.array_equal(*takes)
