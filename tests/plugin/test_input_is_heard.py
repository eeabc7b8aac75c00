"""Main input and sidechain, summed, are what the model hears; notes and the musical time arrive, too."""

import os

import jack
import numpy as np
from studio import wait_until

from jackdaw.bridge.server import PrivateServer


def test_main_and_sidechain_are_both_echoed(room):
    """In jalv, on JACK: the LV2's first two inputs are the main bus, the others the sidechain."""
    place = room("beep-echo")
    name = f"plug-{os.getpid()}"
    with PrivateServer(48000, 256, name, driver="dummy") as server:
        place.environment["JACK_DEFAULT_SERVER"] = server.name
        place.jalv("jackdaw-test")
        look = place.observe(place.ready())
        wait_until("armed", lambda: look.armed, 20)
        for main, side in ((True, False), (False, True), (True, True)):
            targets = [f"jackdaw-test:audio_in_{n}" for n in ((1, 2) if main else ()) + ((3, 4) if side else ())]
            tone = jack.Client("tone", no_start_server=True, servername=name)
            port = tone.outports.register("out")

            @tone.set_process_callback
            def fill(frames, port=port):
                port.get_array()[:] = 0.25

            with tone:
                for target in targets:
                    tone.connect(port, target)
                level = 0.5 if main and side else 0.25
                wait_until(f"{level} in {targets}", lambda level=level: abs(look.peak_in[0] - level) < 1e-4, 20)
            wait_until("silence", lambda: look.peak_in[0] == 0.0, 20)
        look.close()


def test_what_is_played_is_in_the_context(room):
    place = room("beep-echo")
    host = place.begin("stay", seconds=60.0, level=0.2)
    session = place.ready()
    silent = [0, 0, 0, 0]

    def heard() -> bool:
        tokens = place.ask("status", session)["status"]["heard"]["tokens"]
        return bool(tokens != silent)

    wait_until("input in the model's context", heard, 20)
    host.kill()


def test_dawdreamers_input_comes_back(room):
    place = room("beep-echo")
    told = place.call("dream", rate=48000, block=512, seconds=2.0, times=2, impulses=[24000])
    heard = np.abs(place.audio(1)[0])
    assert abs(int(np.argmax(heard)) - 24000 - told["latency"]) <= 512
    assert heard.max() > 0.2
