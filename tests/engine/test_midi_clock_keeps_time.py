"""Promise: a device's MIDI clock sets tempo and beat; jitter is never a jump, and no nonsense breaks anything."""

import random
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from players import Reader, playing
from test_notes_and_time_reach_the_model import Listening, midi, transport

from jackdaw.engine._midi_clock import CONTINUE, START, STOP, TICK, MidiClock, Now
from jackdaw.engine.options import Options

AHEAD_S = 0.5
JUMP_S = 0.030
STEP_S = 0.04


def period(bpm: float) -> float:
    return 60.0 / bpm / 24


def beat_of(now: Now | None) -> float:
    assert now is not None
    return now.beat


def feed(clock: MidiClock, bpm: float, ticks: int, *, at: float = 0.0, jitter_s: float = 0.0, seed: int = 0) -> float:
    """Send so many ticks from a second on; return the second of the next one."""
    noise = np.random.default_rng(seed).uniform(-jitter_s, jitter_s, ticks)
    for number in range(ticks):
        clock.take(at + number * period(bpm) + noise[number], bytes([TICK]))
    return at + ticks * period(bpm)


def looked_at(times: "np.ndarray[Any, np.dtype[np.float64]]", seconds: float) -> Iterator[tuple[float, Now]]:
    """Send a tick at each of these times; yield what a new clock says at each step, and when, once it knows."""
    clock, sent = MidiClock(), 0
    for at in np.arange(0.0, seconds, STEP_S):
        while times[sent] <= at:
            clock.take(times[sent], bytes([TICK]))
            sent += 1
        now = clock.look(at)
        if now is not None:
            yield at, now


def without_jumps(told: Iterable[tuple[float, Now]]) -> Iterator[tuple[float, Now]]:
    """Pass on what a clock says, and fail where the beat that it tells ahead jumps."""
    expected = None
    for at, now in told:
        ahead = now.beat + AHEAD_S * now.bpm / 60.0
        assert expected is None or abs(ahead - expected) * 60.0 / now.bpm < JUMP_S
        expected = ahead + STEP_S * now.bpm / 60.0
        yield at, now


@pytest.mark.parametrize("bpm", [60.0, 83.4, 120.0, 174.0, 200.0])
@pytest.mark.parametrize("seed", range(8))
def test_the_beat_is_right_after_two_beats(bpm: float, seed: int) -> None:
    clock = MidiClock()
    clock.take(99.9, bytes([START]))
    at = feed(clock, bpm, 48, at=100.0, jitter_s=0.001, seed=seed)
    now = clock.look(at)
    assert now is not None
    assert now.rolling
    assert now.bpm == pytest.approx(bpm, rel=0.004)
    assert (now.beat - 2.0) * 60.0 / bpm == pytest.approx(0.0, abs=0.005)


@pytest.mark.parametrize("bpm", [60.0, 97.0, 128.0, 200.0])
@pytest.mark.parametrize("noise", ["even", "normal", "one late"])
def test_jitter_of_a_millisecond_is_never_a_jump(bpm: float, noise: str) -> None:
    """What is told of a time ahead hardly moves from step to step, from the first told on."""
    generator, told = np.random.default_rng(3), []
    ticks = round(30.0 / period(bpm))
    moved = generator.normal(0.0, 0.001, ticks) if noise == "normal" else generator.uniform(-0.001, 0.001, ticks)
    if noise == "one late":
        moved[::61] += 0.009
    for at, now in looked_at(np.maximum.accumulate(np.arange(ticks) * period(bpm) + moved), 29.0):
        told.append((now.beat + AHEAD_S * now.bpm / 60.0) * 60.0 / bpm - at)
        late = abs(now.beat + AHEAD_S * now.bpm / 60.0 - (at + AHEAD_S) * bpm / 60.0) * 60.0 / bpm
        assert late < (0.005 if at > 120.0 / bpm + STEP_S else 0.015)
    assert len(told) > 25 / STEP_S
    assert np.abs(np.diff(told)).max() < JUMP_S / 3


@pytest.mark.parametrize("bpm", [60.0, 120.0, 200.0])
@pytest.mark.parametrize("grid_s", [0.006, 0.021])
def test_ticks_on_the_grid_of_some_driver_are_no_jump(bpm: float, grid_s: float) -> None:
    """Some drivers give every event of a period one time."""
    times = np.ceil(np.arange(0.0, 21.0, period(bpm)) / grid_s) * grid_s
    *_, (at, now) = without_jumps(looked_at(times, 20.0))
    assert at == pytest.approx(20.0, abs=1.5 * STEP_S)
    assert now.bpm == pytest.approx(bpm, rel=0.01)


def test_a_ramp_is_followed_smoothly() -> None:
    """From 100 to 140 bpm within eight seconds: no jump, and the beat now is right to 10 ms."""
    seconds = np.linspace(0.0, 14.0, 140_001)
    bpm = np.clip(100.0 + 5.0 * (seconds - 3.0), 100.0, 140.0)
    beats = np.concatenate([[0.0], np.cumsum(bpm[:-1]) * 1e-4 / 60.0])
    times = np.interp(np.arange(0.0, beats[-1], 1 / 24), beats, seconds)
    times += np.random.default_rng(1).uniform(-0.001, 0.001, len(times))
    for at, now in without_jumps(looked_at(times, 13.5)):
        assert abs(now.beat - np.interp(at, seconds, beats)) * 60.0 / now.bpm < 0.010
    assert at == pytest.approx(13.5, abs=1.5 * STEP_S)
    assert now.bpm == pytest.approx(140.0, rel=0.01)


@pytest.mark.parametrize("after", [61.0, 90.0, 121.0, 240.0])
def test_another_tempo_is_known_within_a_beat_and_a_half(after: float) -> None:
    clock = MidiClock()
    at = feed(clock, 120.0, 240, jitter_s=0.001)
    at = feed(clock, after, 36, at=at, jitter_s=0.001)
    now = clock.look(at)
    assert now is not None
    assert now.bpm == pytest.approx(after, rel=0.02)
    assert (now.beat - 276 / 24) * 60.0 / after == pytest.approx(0.0, abs=0.010)


@pytest.mark.parametrize("bpm", [60.0, 120.0, 200.0])
def test_lost_ticks_are_no_lost_beat(bpm: float) -> None:
    choose, clock = random.Random(5), MidiClock()
    sent = [True] * 48
    while len(sent) < 1200:
        sent += [False] * choose.choice([1, 1, 2, 5]) + [True] * choose.randrange(6, 60)
    for number, comes in enumerate(sent):
        if comes:
            clock.take(number * period(bpm) + choose.uniform(-0.001, 0.001), bytes([TICK]))
    at = feed(clock, bpm, 12, at=len(sent) * period(bpm))
    assert (beat_of(clock.look(at)) - 0.5 - len(sent) / 24) * 60.0 / bpm == pytest.approx(0.0, abs=0.005)


def test_start_stop_continue_and_position() -> None:
    clock = MidiClock()
    assert clock.look(0.0) is None
    at = feed(clock, 120.0, 60)
    assert beat_of(clock.look(at)) == pytest.approx(2.5)  # nobody has started it: the bar counts from the first tick
    clock.take(at, bytes([START]))
    at = feed(clock, 120.0, 36, at=at)
    assert beat_of(clock.look(at)) == pytest.approx(1.5)
    clock.take(at, bytes([STOP]))
    at = feed(clock, 120.0, 30, at=at)
    assert clock.look(at) == (pytest.approx(120.0), 1.5, False)
    clock.take(at, bytes([CONTINUE]))
    at = feed(clock, 120.0, 12, at=at)
    assert beat_of(clock.look(at)) == pytest.approx(2.0)
    clock.take(at, bytes([STOP, 0xF2, 8, TICK, 1]))  # real time may come in between
    clock.take(at, bytes([CONTINUE]))
    at = feed(clock, 120.0, 24, at=at)
    assert beat_of(clock.look(at)) == pytest.approx((8 + 128) * 6 / 24 + 1.0, abs=0.05)


def test_a_rest_without_ticks_is_none_that_were_lost() -> None:
    clock = MidiClock()
    clock.take(0.0, bytes([START]))
    at = feed(clock, 120.0, 48)
    clock.take(at, bytes([STOP]))
    clock.take(at + 0.49, bytes([CONTINUE]))
    at = feed(clock, 120.0, 48, at=at + 0.5)
    assert beat_of(clock.look(at)) == pytest.approx(4.0, abs=0.01)


def test_a_clock_that_ceases_has_stopped() -> None:
    clock = MidiClock()
    at = feed(clock, 120.0, 60)
    assert clock.look(at + 0.95) is not None
    assert clock.look(at + 1.0) is None
    at = feed(clock, 90.0, 24, at=at + 5.0)
    assert beat_of(clock.look(at)) == pytest.approx(1.0)
    clock.take(at, bytes([STOP]))
    assert clock.look(at + 3.0) is None
    clock.take(at + 3.0, bytes([CONTINUE]))  # a device that sends nothing while it is stopped
    at = feed(clock, 90.0, 24, at=at + 3.0)
    assert beat_of(clock.look(at)) == pytest.approx(2.0)


def _nonsense(choose: random.Random) -> Iterator[tuple[float, bytes]]:
    at, pace = 0.0, 0.02
    kinds = [TICK] * 12 + [START, STOP, CONTINUE, 0xF2, 0xF0, 0xF7, 0xFE, 0xFF, 0x90, 0x00, 0x7F]
    for _ in range(4_000):
        if choose.random() < 0.01:
            pace = choose.choice([0.0, 1e-9, 0.001, 0.0125, 0.02, 0.04, 0.5, 2.0, -0.01])
        at += pace * choose.choice([0.0, 1.0, 1.0, 1.0, choose.random() * 3])
        yield at, bytes(choose.choice(kinds) for _ in range(choose.randrange(1, 4)))


@pytest.mark.parametrize("seed", range(4))
def test_nonsense_is_survived(seed: int) -> None:
    clock = MidiClock()
    at = 0.0
    for at, data in _nonsense(random.Random(seed)):
        clock.take(at, data)
        now = clock.look(at)
        assert now is None or (30.0 <= now.bpm <= 300.0 and np.isfinite(now.beat))
    clock.take(at + 10.0, bytes([STOP, START]))
    at = feed(clock, 120.0, 48, at=at + 10.0)
    assert clock.look(at) == (pytest.approx(120.0), pytest.approx(2.0), True)


def test_a_flood_costs_next_to_nothing() -> None:
    clock = MidiClock()
    feed(clock, 120.0, 48)
    tracemalloc.start()
    begun = time.perf_counter()
    for _ in range(100):
        clock.take(2.0, bytes([TICK] * 1000))
    took = time.perf_counter() - begun
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 50_000
    assert took < 5.0
    assert clock.look(2.0) is None


def test_a_clock_of_the_segment_leads_the_model() -> None:
    """Ticks with jitter reach the model as a steady bar, by their frames, and no music is dropped on the way."""
    model, bpm = Listening(), 118.0
    moved = np.random.default_rng(2).uniform(-0.001, 0.001, 400)
    with playing(model, Options(floor_s=0.3)) as (session, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(0.3, paced=True)
        start, sent = 0.05, 0
        ticks = [round((start + number * period(bpm) + moved[number]) * reader.rate) for number in range(400)]
        begun, played, epochs, beats = time.monotonic(), 0, [], []
        midi(reader, 0, START)
        for number in range(round(5.0 * reader.rate / reader.block)):
            while ticks[sent] < played + reader.block:
                midi(reader, ticks[sent] - played, TICK)
                sent += 1
            reader.render(reader.block / reader.rate)
            played += reader.block
            time.sleep(max(0.0, begun + played / reader.rate - time.monotonic()))
            if number > 200:
                epochs.append(reader.segment.epoch)
                told = session.status()["transport"]
                beats.append((told["beat"] - (played / reader.rate - start) * bpm / 60.0 + 2.0) % 4.0 - 2.0)
        assert told["rolling"]
        assert told["bpm"] == pytest.approx(bpm, abs=0.5)
        assert len(set(epochs)) == 1
        assert np.abs(beats).max() * 60.0 / bpm < 0.015
        clocks = [clock for clock in model.clocks if clock is not None]
        assert np.diff([clock.beat for clock in clocks[-40:]]) % 4 == pytest.approx(STEP_S * bpm / 60.0, abs=0.01)
        midi(reader, 0, STOP)
        reader.render(0.5, paced=True)
        assert not session.status()["transport"]["rolling"]
        assert model.clocks[-1] is None


def test_the_studio_comes_before_a_clock() -> None:
    model = Listening()
    with playing(model) as (session, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        for number in range(300):
            if number % 4 == 0:
                midi(reader, 0, TICK)
            transport(reader, 97.0, number * reader.block / reader.rate * 97.0 / 60.0)
            reader.render(reader.block / reader.rate, paced=True)
        assert session.status()["transport"]["bpm"] == 97.0
        assert {clock.bpm for clock in model.clocks[-20:] if clock is not None} == {97.0}
