"""Freewheel and offline bounces wait for the engine: the same bytes however slow it is, and never for ever."""

import threading
import time

import numpy as np
import pytest
from signals import FADE, ramp

from jackdaw.dsp import SegmentReader, SegmentWriter

Pair = tuple[SegmentWriter, SegmentReader]


@pytest.mark.parametrize("block", [64, 1000, 4096])
@pytest.mark.parametrize("how", ["flag", "callback"])
def test_a_slow_engine_loses_nothing(pair: Pair, block: int, how: str) -> None:
    writer, reader = pair
    stop = threading.Event()

    def engine() -> None:
        at = 0
        while not stop.wait(0.002):
            if writer.fill < 9600:
                writer.write(ramp(at, 1920))
                at += 1920

    reader.freewheel(how == "callback")
    thread = threading.Thread(target=engine)
    thread.start()
    try:
        parts = [reader.renderer.render(None, block, offline=how == "flag") for _ in range(60_000 // block)]
    finally:
        stop.set()
        thread.join()
    heard = np.concatenate(parts)
    assert np.array_equal(heard[FADE:], ramp(FADE, len(heard) - FADE))
    assert reader.counters.underruns == 0
    assert sum(reader.counters.histogram) == 0  # no deadline, nothing to judge


def test_a_stuck_engine_is_waited_for_only_so_long(pair: Pair) -> None:
    writer, reader = pair
    writer.write(ramp(0, 12_000))
    reader.renderer.set_patience(0.05)
    heard = [reader.renderer.render(None, 4096, offline=True) for _ in range(3)]
    assert np.array_equal(heard[1], ramp(4096, 4096))
    assert np.array_equal(heard[2][:3000], ramp(8192, 3000))
    assert not heard[2][12_000 - 8192 :].any()
    assert reader.counters.underruns == 1


@pytest.mark.parametrize("event", ["dead", "stopping", "disarmed", "detached"])
def test_waiting_ends_when_there_is_nothing_to_wait_for(pair: Pair, event: str) -> None:
    writer, reader = pair
    writer.write(ramp(0, 6000))
    reader.renderer.set_patience(3600.0)

    def happens() -> None:
        time.sleep(0.05)
        if event == "dead":
            reader.renderer.engine_gone(reader.writer_instance)
        elif event == "stopping":
            writer.publish(stopping=True)
        elif event == "disarmed":
            reader.arm(False)
        else:
            reader.renderer.use(None)

    thread = threading.Thread(target=happens)
    thread.start()
    for _ in range(3):
        reader.renderer.render(None, 4096, offline=True)
    thread.join()
    assert reader.counters.underruns == 0


def test_stale_music_is_kept_in_a_bounce(pair: Pair) -> None:
    writer, reader = pair
    writer.publish(limit=20_000)
    writer.write(ramp(0, 60_000))
    heard = np.concatenate([reader.renderer.render(None, 512, offline=True) for _ in range(80)])
    assert np.array_equal(heard[FADE:], ramp(FADE, len(heard) - FADE))
    assert reader.counters.dropped_frames == 0
