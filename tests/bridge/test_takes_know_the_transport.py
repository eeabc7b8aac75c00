"""A take tells where JACK's transport was at each of its frames, also behind cycles that were skipped."""

import numpy as np


def test_the_transport_goes_as_jacks_clock_does(studio):
    room = studio()
    room.start_server()
    take = room.probe(3 * 48000, "-l", "0", "-b", "120", hear=False).result()
    clocks = take.cycles[np.flatnonzero(take.cycles[:, 3] != 2**64 - 1)]
    assert len(clocks) > 400
    frames, jack, transport = (np.diff(clocks[:, column].astype(np.int64)) for column in (0, 1, 3))
    assert np.array_equal(transport, jack)
    assert (transport - frames).sum() <= take.seen["missed"]
    seconds = np.array([1.0, 2.0])
    assert np.abs(take.off_beat(seconds, 120.0)).max() <= 0.25
