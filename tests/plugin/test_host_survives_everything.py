"""The host plays on whatever happens to the engine, and to instances; the music comes back by itself."""

import os
import signal
import time

import numpy as np
from studio import wait_until

from jackdaw.dsp import segment_path


def test_killed_engine_comes_back_while_the_host_plays(room):
    place = room("beep-ramp")
    host = place.begin("stay", seconds=14.0)
    wait_until("music", lambda: "playing" in host.log.read_text(), 60)
    time.sleep(1.0)
    first = place.engine()
    at = time.monotonic_ns()
    os.kill(first, signal.SIGKILL)
    wait_until("another engine", lambda: place.sessions() and place.engine() != first, 30)
    assert host.popen.wait(60) == 0
    times = np.load(place.folder / "times.npy")
    after = times[times[:, 0] > at]
    silent = after[after[:, 1] == 0, 0]
    assert len(silent), "it cannot have played on without an engine"
    back = after[(after[:, 1] == 1) & (after[:, 0] > silent[0]), 0]
    assert len(back), "no music after the engine's return"
    # until the kill there is no jump: the ramp only goes on
    played = place.audio("played")[0]
    sound = np.flatnonzero(played)
    steps = np.rint(np.diff(played[sound[0] + 300 : sound[0] + 40000].astype(np.float64)) * (1 << 24))
    np.testing.assert_array_equal(steps, 1)


def test_fifty_instances_after_another(room):
    place = room("beep")
    assert place.call("many", timeout=300.0, count=50, at_once=False) == {"made": 50}
    assert len(place.sessions()) <= 1


def test_instances_at_once_up_to_what_an_engine_holds(room):
    place = room("beep")
    assert place.call("many", timeout=300.0, count=16, at_once=True) == {"made": 16}


def test_sessions_end_with_their_instances_and_the_engine_after_them(room):
    place = room("beep")
    place.call("render", rate=48000, block=512, frames=4800)
    process = place.engine()
    wait_until("no session", lambda: not place.sessions(), 5)
    wait_until("the end of the engine", lambda: not os.path.exists(f"/proc/{process}"), 20)


def test_host_that_dies_leaves_an_engine_for_others(room):
    place = room("beep")
    host = place.begin("stay", seconds=60.0)
    session = place.ready()
    assert segment_path(session).exists()
    process = place.engine()
    host.kill()
    place.call("render", rate=48000, block=512, frames=4800)
    assert place.engine() == process


def test_only_one_engine_is_started_by_many(room):
    place = room("beep")
    hosts = [place.begin("stay", seconds=30.0) for _ in range(4)]
    wait_until("four sessions", lambda: len(place.sessions()) == 4, 60)
    log = (place.folder / "state" / "jackdaw" / "engine.log").read_text()
    assert "runs already" not in log
    for host in hosts:
        host.kill()
