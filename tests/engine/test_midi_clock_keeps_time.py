"""Promise: a device's MIDI clock sets tempo and beat, steadily, whatever jitters; it starts, stops and goes on."""

import numpy as np
import pytest
from players import Reader, playing
from test_notes_and_time_reach_the_model import Listening

from jackdaw.engine._midi_clock import MidiClock, Pulse

RATE = 48000
TICK, START, CONTINUE, STOP = (bytes([status]) for status in (0xF8, 0xFA, 0xFB, 0xFC))


def ticks(clock: MidiClock, bpm: float, count: int, *, first: float = 0.0, jitter_s: float = 0.0) -> list[Pulse]:
    rng = np.random.default_rng(1)
    told = []
    for number in range(count):
        frame = first + number * RATE * 60 / bpm / 24 + rng.uniform(-jitter_s, jitter_s) * RATE
        pulse = clock.take(round(frame), TICK, RATE)
        if pulse is not None:
            told.append(pulse)
    return told


@pytest.mark.parametrize("bpm", [60.0, 97.3, 120.0, 200.0])
def test_the_beat_is_within_5_ms_after_two_beats(bpm: float) -> None:
    clock = MidiClock()
    clock.take(0, START, RATE)
    told = ticks(clock, bpm, 24 * 16, first=10.0, jitter_s=0.001)
    assert len(told) >= 14
    for pulse in told:
        if pulse.frame < 10 + 2 * RATE * 60 / bpm:
            continue
        wanted = (pulse.frame - 10) * bpm / 60 / RATE
        assert abs(pulse.beat - wanted) * 60 / bpm < 0.005
        assert pulse.bpm == pytest.approx(bpm, rel=0.005)
        assert pulse.rolling


def test_it_starts_stops_and_goes_on() -> None:
    clock = MidiClock()
    clock.take(0, START, RATE)
    last = ticks(clock, 120.0, 49)[-1]
    assert last.beat == pytest.approx(2.0, abs=0.01)
    stopped = clock.take(60_000, STOP, RATE)
    assert stopped is not None
    assert not stopped.rolling
    assert not ticks(clock, 120.0, 48, first=61_000), "ticks go on while it is stopped"
    clock.take(110_000, CONTINUE, RATE)
    assert ticks(clock, 120.0, 49, first=111_000)[-1].beat == pytest.approx(4.0, abs=0.1)
    clock.take(170_000, STOP, RATE)
    clock.take(170_100, bytes([0xF2, 16, 0]), RATE)
    clock.take(170_200, CONTINUE, RATE)
    assert ticks(clock, 120.0, 26, first=171_000)[-1].beat == pytest.approx(5.0, abs=0.1), "16 sixteenths are 4 beats"
    clock.take(230_000, START, RATE)
    assert ticks(clock, 120.0, 26, first=231_000)[-1].beat == pytest.approx(1.0, abs=0.1)


def test_a_clock_that_ceases_stops_once() -> None:
    clock = MidiClock()
    ticks(clock, 120.0, 48)
    assert clock.look(60_000, RATE) is None
    stopped = clock.look(100_000, RATE)
    assert stopped is not None
    assert not stopped.rolling
    assert clock.look(200_000, RATE) is None


def test_a_slide_of_tempo_is_followed() -> None:
    clock, frame, last = MidiClock(), 0.0, None
    for number in range(24 * 32):
        frame += RATE * 60 / (100 + number / 24) / 24
        last = clock.take(round(frame), TICK, RATE) or last
    assert last is not None
    assert last.bpm == pytest.approx(131, abs=2.5)


def test_nonsense_does_no_harm() -> None:
    clock, rng = MidiClock(), np.random.default_rng(2)
    words = [TICK, START, CONTINUE, STOP, b"", bytes([0xF2]), bytes([0xF2, 127, 127]), bytes([0x90, 60, 1]), b"\xfe"]
    for _ in range(20_000):
        pulse = clock.take(int(rng.integers(0, 1 << 40)), words[rng.integers(len(words))], RATE)
        assert pulse is None or 30 <= pulse.bpm <= 300
    for _ in range(10_000):
        assert clock.take(5, TICK, RATE) is None
    assert len(clock._ticks) <= 49


def test_a_session_is_timed_by_it() -> None:
    """Through the MIDI ring of a segment: the bar that the model is told is that of the clock, where it is heard."""
    from jackdaw.dsp import lib

    model, block, sent = Listening(), 256, 0.0
    with playing(model) as (session, name), Reader(name, block=block) as reader:
        reader.wait_until_engine_is_ready()
        frame, spacing = 0, 48000 * 60 / 125 / 24  # 960 frames
        lib.jd_client_midi(reader.segment.client, 0, START, 1)
        while frame < 48000 * 6:
            while sent < frame + block:
                lib.jd_client_midi(reader.segment.client, int(sent) - frame, TICK, 1)
                sent += spacing
            reader.render(block / 48000)
            frame += block
        told = session.status()["transport"]
        assert told["rolling"]
        assert told["bpm"] == pytest.approx(125, abs=0.2)
        clocks = [clock for clock in model.clocks[-50:] if clock is not None]
        assert len(clocks) == 50
        steps = np.diff([clock.beat for clock in clocks]) % 4
        assert np.abs(steps - 0.04 * 125 / 60).max() < 0.02, "no jump, whatever the ticks"
        for _ in range(300):
            reader.render(block / 48000)
        assert not session.status()["transport"]["rolling"], "a second without ticks"
