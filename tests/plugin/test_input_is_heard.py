"""Main input and sidechain, summed, are what the model hears; notes and the musical time arrive, too."""

import numpy as np


def test_main_and_sidechain_are_both_echoed(room):
    place = room("beep-echo")
    rate, frames = 48000, 48000
    place.call("dream", rate=rate, block=512, seconds=1.0, times=2, impulses=[4800], side=[9600])
    audio = place.audio(1)
    assert audio.shape[1] == frames
    (hits,) = np.nonzero(np.abs(audio[0]) > 0.1)
    np.testing.assert_allclose(audio[0, hits], 0.5)
    late = hits[0] - 4800
    assert hits.tolist() == [4800 + late, 9600 + late]
    assert late > 0


def test_what_is_played_is_in_the_context(room):
    place = room("beep-echo")
    host = place.begin("stay", seconds=60.0, level=0.2)
    session = place.ready()
    silent = [0, 0, 0, 0]

    def heard() -> bool:
        tokens = place.ask("status", session)["status"]["heard"]["tokens"]
        return bool(tokens != silent)

    from studio import wait_until

    wait_until("input in the model's context", heard, 20)
    host.kill()
