"""Promise: notes arrive at the exact frame of the sound they belong to, the transport with its bars and beats."""

import time

import numpy as np
import pytest
from studio import wait_until

from jackdaw.dsp import SegmentWriter


@pytest.fixture
def engine(studio):
    """Be the engine of a session: its room and the writer's side, with the client attached."""
    room = studio(48000, 256)
    room.start_server()
    with SegmentWriter.open(room.session) as writer:
        room.start_bridge("--no-connect")
        wait_until("the client", lambda: writer.reader_rate)
        writer.publish(ring_rate=48000, target=9600)
        yield room, writer
        room.bridge.stop()


@pytest.mark.jack
def test_notes_at_their_frame(engine):
    room, writer = engine
    frames = [1000, 1001, 1255, 1256, 1257, 5000, 20000, 20001]
    messages = ["90407f", "804000", "b00740", "90417f", "e00040", "c005", "f8", "804100"]
    clicks = np.zeros((24000, 2), np.float32)
    clicks[frames] = 0.5
    notes = ",".join(f"{frame}:{text}" for frame, text in zip(frames, messages, strict=True))
    probe = room.probe(24000, "-w", "-m", f"{room.client}:midi_in", "-n", notes, play=clicks, hear=False, say=True)
    start, heard, events = writer.in_read, [], []
    deadline = time.monotonic() + 30
    while (len(events) < len(frames) or np.sum(np.concatenate(heard)) < len(frames)) and time.monotonic() < deadline:
        if available := writer.in_available:
            heard.append(writer.read_input(available)[:, 0] > 0.25)
            events += writer.read_midi()
        else:
            # keep the client playing, so that it does not wait for music in freewheel
            time.sleep(0.001)
        if writer.space > 4096 and writer.fill < 9600:
            writer.write(np.zeros((4096, 2), np.float32))
    probe.result()
    clicked = start + np.flatnonzero(np.concatenate(heard))
    assert [bytes.fromhex(text) for text in messages] == [message for _, message in events]
    assert [frame for frame, _ in events] == list(clicked)


@pytest.mark.jack
def test_transport_with_bars(engine):
    room, writer = engine
    assert not writer.transport.rolling
    probe = room.probe(48000, "-l", "96000", "-b", "120", hear=False)
    wait_until("rolling", lambda: writer.transport.rolling and writer.transport.bpm)
    seen = writer.transport
    probe.result()
    assert seen.frame >= 96000
    assert (seen.bpm, seen.beats_per_bar, seen.beat_type) == (120.0, 4.0, 4.0)
    beats = seen.frame / 24000
    assert seen.bar == int(beats // 4) + 1
    assert seen.beat == int(beats % 4) + 1
    assert seen.tick == pytest.approx(beats % 1, abs=1e-3)
    wait_until("a stop", lambda: not writer.transport.rolling)


@pytest.mark.jack
def test_period_changes_reach_the_engine(engine):
    import jack

    room, writer = engine
    assert writer.reader_block == 256
    client = jack.Client("hand", servername=room.session, no_start_server=True)
    client.blocksize = 512
    client.close()
    wait_until("the new period", lambda: writer.reader_block == 512)


@pytest.mark.jack
def test_latency_changes_reach_jack(engine):
    import jack

    room, writer = engine
    client = jack.Client("looker", servername=room.session, no_start_server=True)
    from jackdaw.bridge import _libjack

    def told(name, mode):
        seen = _libjack.ffi.new("latency_range_t*")
        port = client.get_port_by_name(f"{room.client}:{name}")
        pointer = _libjack.ffi.cast("void*", _libjack.address(port._ptr))
        _libjack.lib.jack_port_get_latency_range(pointer, mode, seen)
        return seen.min, seen.max

    try:
        for loop in (9600, 12345, 256):
            writer.publish(loop_latency=loop)
            for port, mode in (("out_L", _libjack.CAPTURE), ("in_R", 1), ("midi_in", 1)):
                wait_until("JACK to know", lambda p=port, m=mode, loop=loop: told(p, m) == (loop, loop))
    finally:
        client.close()


@pytest.mark.jack
def test_another_client_is_heard(studio):
    room = studio(48000, 256)
    room.start_server()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (48000 * 30, 2)).astype(np.float32)
    room.probe(len(noise), "-N", "drummer", play=noise, hear=False)
    with SegmentWriter.open(room.session) as writer:
        room.start_bridge("--no-connect", "--hear-from", "drummer")
        wait_until("the client", lambda: writer.reader_rate)
        writer.publish(ring_rate=48000, target=9600)
        writer.write(np.zeros((48000, 2), np.float32))
        wait_until("the drummer", lambda: writer.in_available and np.abs(writer.read_input(writer.in_available)).max())
        room.bridge.stop()


@pytest.mark.jack
def test_a_client_that_is_not_there_is_named(studio):
    room = studio(48000, 256)
    room.start_server()
    bridge = room.start_bridge("--hear-from", "nobody")
    wait_until("the warning", lambda: bridge.said("ports not connected"))
    assert "nobody" in str(bridge.said("ports not connected"))
