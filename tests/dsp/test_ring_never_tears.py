"""Frames cross the rings whole, in order and once: between processes, at any split, round the end of the ring."""

import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signals import FADE, ramp

from jackdaw.dsp import SegmentError, SegmentReader, SegmentWriter, segment_path

ENGINE = """
import sys, time, numpy as np
from jackdaw.dsp import SegmentWriter
sys.path.insert(0, {folder!r})
from signals import ramp
rng = np.random.default_rng(1)
with SegmentWriter.open({session!r}, capacity=16384) as w:
    w.publish(target=8000, ring_rate=48000)
    print("ready", flush=True)
    at = heard = 0
    while at < {frames}:
        n = int(rng.integers(1, 3000))
        if w.fill + n <= 9000:
            w.write(ramp(at, n))
            at += n
        taken = w.read_input(w.in_available)
        assert np.array_equal(taken, ramp(heard, len(taken))), heard
        heard += len(taken)
        if not len(taken):
            time.sleep(0.0005)
    print("heard", heard, flush=True)
    time.sleep(60)
"""


def test_a_million_frames_cross_between_processes_in_both_directions(session: str) -> None:
    frames = 1_000_000
    folder = __file__.rpartition("/")[0]
    code = ENGINE.format(folder=folder, session=session, frames=frames)
    engine = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert engine.stdout is not None
    try:
        assert engine.stdout.readline() == "ready\n"
        rng = np.random.default_rng(2)
        with SegmentReader.attach(session) as reader:
            reader.set_reader(48000, 256)
            reader.arm(True)
            at = 0
            while at < frames - 20_000:
                n = int(rng.integers(1, 1500))
                out = reader.renderer.render(ramp(at, n), n, offline=True)
                expected = ramp(at, n)
                fading = max(0, FADE - at)
                assert np.array_equal(out[fading:], expected[fading:]), at
                at += n
            counters = reader.counters
            assert (counters.underruns, counters.overruns, counters.dropped_frames) == (0, 0, 0)
            reader.renderer.set_patience(0.0)
            rest = reader.renderer.render(None, 40_000)  # let the engine reach its end
            assert len(rest) == 40_000
    finally:
        engine.send_signal(signal.SIGKILL)
        engine.wait()
        engine.stdout.close()


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 3000)), min_size=1, max_size=60),
    channels=st.sampled_from([1, 2]),
)
def test_any_sequence_of_writes_and_blocks_keeps_every_frame(sizes: list[tuple[int, int]], channels: int) -> None:
    name = "test-any-sequence"
    segment_path(name).unlink(missing_ok=True)
    with SegmentWriter.open(name, capacity=8192, channels=channels) as writer, SegmentReader.attach(name) as reader:
        reader.set_reader(48000, 128)
        reader.arm(True)
        writer.publish(target=1000, ring_rate=48000)
        written = captured = taken = 0
        faded = 0
        for put, block in sizes:
            if put <= writer.space:
                writer.write(ramp(written, put)[:, :channels])
                written += put
            else:
                with pytest.raises(SegmentError, match="do not fit"):
                    writer.write(ramp(written, put)[:, :channels])
            before = writer.out_read
            heard = reader.renderer.render(ramp(captured, block), block)[:, 0]
            used = writer.out_read - before
            expected = ramp(before, used)[:, 0]
            assert not heard[used:].any()
            assert (heard[:used] <= expected).all()  # each frame in its place, or on its way in or out
            faded += np.count_nonzero(heard[:used] != expected)
            captured += block
            got = writer.read_input(writer.in_available)
            assert np.array_equal(got, ramp(taken, len(got))[:, :channels])
            taken += len(got)
            assert taken == captured
        assert writer.out_read <= writer.out_write
        assert faded <= 2 * FADE * (reader.counters.underruns + 1)


def test_notes_cross_with_their_frames_and_too_many_are_counted(session: str) -> None:
    from jackdaw.dsp import ffi, lib

    with SegmentWriter.open(session) as writer, SegmentReader.attach(session) as reader:
        reader.set_reader(48000, 128)
        reader.arm(True)

        def note(offset: int, data: bytes) -> None:
            lib.jd_client_midi(reader.client, offset, ffi.from_buffer("uint8_t[]", data), len(data))

        reader.renderer.render(None, 100)
        note(5, b"\x90\x3c\x64")
        note(50, b"\x80\x3c\x00")
        note(60, bytes(9))  # too long
        reader.renderer.render(None, 128)
        assert writer.read_midi() == [(105, b"\x90\x3c\x64"), (150, b"\x80\x3c\x00")]
        assert reader.counters.midi_dropped == 1
        for _ in range(10):
            for i in range(200):
                note(i, b"\xb0\x01\x02")
            reader.renderer.render(None, 256)
        events = writer.read_midi()
        assert len(events) == 1024
        assert [frame for frame, _ in events] == sorted(frame for frame, _ in events)
        assert reader.counters.midi_dropped == 1 + 2000 - 1024


def test_the_anchor_joins_input_and_output_of_one_block(session: str) -> None:
    with SegmentWriter.open(session) as writer, SegmentReader.attach(session) as reader:
        assert writer.anchor is None
        reader.set_reader(48000, 128)
        reader.arm(True)
        writer.publish(target=2000, ring_rate=48000)
        for _ in range(3):
            reader.renderer.render(None, 100)
        writer.write(ramp(0, 20_000))
        for _ in range(5):
            reader.renderer.render(None, 100)
        anchor = writer.anchor
        assert anchor is not None
        assert (anchor.out_frame, anchor.in_frame) == (400, 700)
        assert writer.out_read == 500
        assert writer.in_write == 800


def test_input_that_does_not_fit_is_counted_and_leaves_no_half_block(session: str) -> None:
    with SegmentWriter.open(session, capacity=4096) as writer, SegmentReader.attach(session) as reader:
        reader.set_reader(48000, 1000)
        reader.arm(True)
        for i in range(6):
            reader.renderer.render(ramp(1000 * i, 1000), 1000)
        assert writer.in_available == 4000
        assert reader.counters.overruns == 2
        assert np.array_equal(writer.read_input(4000), ramp(0, 4000))
        with pytest.raises(SegmentError, match="are there"):
            writer.read_input(1)
