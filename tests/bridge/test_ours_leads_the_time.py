"""Promise: asked to, ours is JACK's timebase master; taps and messages set the studio's tempo, and it is recorded."""

import contextlib
import time

import numpy as np
import pytest
import soundfile
from studio import wait_until

from jackdaw.engine.protocol.client import ControlClient

pytestmark = pytest.mark.jack


@pytest.fixture
def looker():
    """Return a function that makes another client of a room's server."""
    import jack

    with contextlib.ExitStack() as stack:

        def make(room, name="looker"):
            client = jack.Client(name, servername=room.session, no_start_server=True)
            stack.callback(client.close)
            return client

        yield make


def bars(client):
    """Return state and bars of the transport, as any other client sees them."""
    state, where = client.transport_query()
    return str(state), where


def test_a_told_time_starts_the_studio_at_a_bar(studio, looker, tmp_path):
    room = studio(48000, 256)
    room.start_server()
    room.start_engine()
    recording = tmp_path / "jam.flac"
    bridge = room.start_bridge("--no-connect", "--timebase", "93/3", "--record", str(recording))
    room.wait_for_sound()
    other = looker(room)
    assert bars(other)[0].endswith("STOPPED")
    with contextlib.closing(ControlClient(room.session, room.session)) as control:
        control.tell("transport", bpm=120.0, beat=0.0, beats_per_bar=3, rolling=True)
        wait_until("rolling", lambda: bars(other)[0].endswith("ROLLING"))
        where = bars(other)[1]
        assert (where["beats_per_minute"], where["beats_per_bar"], where["bar"]) == (120.0, 3.0, 1)
        wait_until("the third bar", lambda: bars(other)[1]["bar"] == 3)
        where = bars(other)[1]
        beats = (where["bar"] - 1) * 3 + where["beat"] - 1 + where["tick"] / where["ticks_per_beat"]
        assert beats == pytest.approx(where["frame"] / 24000, abs=0.01), "it began at frame 0 with a bar"
        status = control.status()["transport"]
        assert status["rolling"]
        assert status["bpm"] == 120.0
        control.tell("transport", bpm=120.0, beat=0.0, beats_per_bar=3, rolling=False)
        wait_until("a stop", lambda: bars(other)[0].endswith("STOPPED"))
    bridge.stop()
    click, rate = soundfile.read(recording.with_name("jam.click.flac"))
    assert rate == 48000
    assert len(click) == soundfile.info(recording).frames
    sounding = np.flatnonzero(click)
    starts = sounding[np.concatenate([[True], np.diff(sounding) > 2400])]
    assert len(starts) >= 6
    # the recording may begin in the midst of a click; a tick is 12.5 frames
    assert np.abs(np.diff(starts[1:]) - 24000).max() <= 13


def test_taps_set_tempo_and_beat(studio, looker):
    room = studio(48000, 256)
    room.start_server()
    room.start_engine()
    room.start_bridge("--no-connect", "--timebase", "120")
    room.wait_for_sound()
    other = looker(room)
    with contextlib.closing(ControlClient(room.session, room.session)) as control:
        first = time.monotonic()
        for tap in range(6):
            time.sleep(max(0.0, first + tap * 0.4 - time.monotonic()))
            control.tell("tap", beats_per_bar=4)
        last = time.monotonic()
        wait_until("the tempo", lambda: abs(bars(other)[1].get("beats_per_minute", 0.0) - 150.0) < 6.0)
        time.sleep(0.3)
        where, now = bars(other)[1], time.monotonic()
        beat = where["beat"] - 1 + where["tick"] / where["ticks_per_beat"]
        wanted = (5 + (now - last) * where["beats_per_minute"] / 60) % 4
        assert abs((beat - wanted + 2) % 4 - 2) * 60 / 150 < 0.05, "the beat falls where it was tapped"


def test_a_second_master_is_refused(studio, looker):
    room = studio(48000, 256)
    room.start_server()
    other = looker(room, "conductor")
    other.set_timebase_callback(lambda *_: None)
    other.activate()
    bridge = room.start_bridge("--no-connect", "--timebase", "120")
    wait_until("the refusal", lambda: not bridge.alive)
    assert bridge.popen.returncode == 1
    assert "timebase master" in str(bridge.said("failed"))
