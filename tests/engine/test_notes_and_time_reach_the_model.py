"""Held notes and the studio's bar reach the model with the step in which they are heard."""

import time
from typing import Any

import numpy as np
import pytest
from players import Reader, playing, wait_for

from jackdaw.dsp import ffi, lib
from jackdaw.engine._transport import _rounded
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.models.contract import Audio, Clock, Controls, StreamSpec
from jackdaw.engine.options import Options


class Listening(Beep):
    """A test model that remembers notes and time, step by step."""

    def __init__(self, look_ahead: int = 0) -> None:
        super().__init__("beep")
        old = self._spec
        self._spec = StreamSpec(
            name=old.name, levels=old.levels, codebook=old.codebook, style_size=old.style_size, hears=True,
            controls=old.controls | {"clock"}, look_ahead=look_ahead,
        )  # fmt: skip
        self.notes: list[frozenset[int] | None] = []
        self.clocks: list[Clock | None] = []

    def step(self, state: dict[str, Any], controls: Controls, heard: Audio | None) -> tuple[dict[str, Any], Audio]:
        self.notes.append(controls.notes)
        self.clocks.append(controls.clock)
        return super().step(state, controls, heard)


def rest(session: Any) -> None:
    """Wait until the ring is full and the model rests."""
    wait_for(lambda: session.status()["fill_ms"] > session.status()["target_ms"])


def midi(reader: Reader, offset: int, *message: int) -> None:
    lib.jd_client_midi(reader.segment.client, offset, bytes(message), len(message))


def transport(reader: Reader, bpm: float, beats: float, *, rolling: bool = True, beats_per_bar: int = 4) -> None:
    now = ffi.new("jd_transport *")
    now.state, now.bpm, now.bar = int(rolling), bpm, int(beats // beats_per_bar) + 1
    now.beat, now.tick = int(beats % beats_per_bar) + 1, beats % 1
    now.beats_per_bar, now.beat_type, now.ns = beats_per_bar, 4.0, lib.jd_now_ns()
    lib.jd_client_transport(reader.segment.client, now)


def test_messages_hold_notes_from_the_next_step_on() -> None:
    model = Listening()
    with playing(model) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        rest(session)
        done = len(model.notes)
        assert session.play_notes([bytes([0x90, 60, 100]), bytes([0x91, 60, 1]), bytes([0x90, 64, 9])]) == {60, 64}
        assert session.play_notes([bytes([0x80, 60, 0]), bytes([0xB0, 64, 127])]) == {60, 64}  # channel 2 holds on
        reader.render(0.2)
        rest(session)
        assert set(model.notes[:done]) == {None}
        assert set(model.notes[done:]) == {frozenset({60, 64})}
        assert session.status()["notes"] == [60, 64]
        assert session.play_notes([bytes([0x91, 60, 0])]) == {64}
        assert session.play_notes([bytes([0xB0, 123, 0])]) == frozenset()
        assert session.play_notes([bytes([0x92, 7, 1]), bytes([0xB2, 120, 0]), bytes([0xE0, 1, 2])]) == frozenset()


def test_a_note_shorter_than_a_step_is_not_lost() -> None:
    model = Listening()
    with playing(model) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        rest(session)
        done = len(model.notes)
        session.play_notes([bytes([0x90, 60, 100]), bytes([0x80, 60, 0])])
        reader.render(0.2)
        rest(session)
        assert model.notes[done] == frozenset({60})
        assert set(model.notes[done + 1 :]) == {None}


def test_notes_of_the_segment_come_with_the_sound_of_their_instant() -> None:
    """A click and a note on one frame reach the model in one step, and the note goes with the second click."""

    class Both(Listening):
        def __init__(self) -> None:
            super().__init__()
            self.clicks: list[bool] = []

        def step(self, state: dict[str, Any], controls: Controls, heard: Audio | None) -> tuple[dict[str, Any], Audio]:
            assert heard is not None
            self.clicks.append(bool(np.any(heard)))
            return super().step(state, controls, heard)

    model = Both()
    blocks = 0

    def source(frames: int) -> Audio:
        nonlocal blocks
        blocks += 1
        sound = np.zeros((frames, 2), np.float32)
        if blocks in (100, 150):
            sound[37] = 0.5
            midi(reader, 37, *((0x90, 60, 1) if blocks == 100 else (0x80, 60, 0)))
        return sound

    with playing(model) as (_, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(2.0, source)
        on, off = np.flatnonzero(model.clicks)
        held = [bool(notes) for notes in model.notes]
        assert held == [on <= step < off for step in range(len(held))]


def test_a_reader_that_goes_holds_no_notes() -> None:
    with playing(Listening()) as (session, name):
        with Reader(name) as reader:
            reader.wait_until_engine_is_ready()
            midi(reader, 0, 0x90, 60, 1)
            reader.render(1.0)
            assert session.status()["notes"] == [60]
        wait_for(lambda: session.status()["notes"] == [])


def test_beep_plays_the_highest_note() -> None:
    def pitch(audio: Audio) -> float:
        spectrum = np.abs(np.fft.rfft(audio[:, 0]))
        return float(np.argmax(spectrum)) * 48000 / len(audio)

    with playing(Beep()) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        session.play_notes([bytes([0x90, 69, 1]), bytes([0x90, 81, 1])])
        reader.render(1.0)
        assert pitch(reader.render(1.0)) == pytest.approx(880, abs=20)


@pytest.mark.parametrize("rate", [48000, 44100])
@pytest.mark.parametrize("look_ahead", [0, 1440])
def test_the_clock_is_that_of_the_block_in_which_the_step_is_heard(rate: int, look_ahead: int) -> None:
    """Blocks tell where the bar is; the beat that each step was given is where the bar was when its sound came out."""
    model = Listening(look_ahead)
    bpm, rendered = 97.0, 0
    with playing(model) as (session, name), Reader(name, rate=rate) as reader:
        reader.wait_until_engine_is_ready()
        rest(session)
        start = reader.segment.epoch_start
        for _ in range(400):
            transport(reader, bpm, 2.5 + rendered / rate * bpm / 60)
            reader.render(reader.block / rate)
            rendered += reader.block
        rest(session)
        assert start == reader.segment.epoch_start
        clocks = list(model.clocks)
    known = [(step, clock) for step, clock in enumerate(clocks) if clock is not None]
    assert len(known) > 40
    for step, clock in known:
        heard_at = step * 0.04 + look_ahead / 48000  # the first frame played is the first of the epoch
        assert clock.bpm == bpm
        assert clock.beats_per_bar == 4
        assert clock.beat == pytest.approx((2.5 + heard_at * bpm / 60) % 4, abs=2e-3)


@pytest.mark.parametrize(("rate", "bpm"), [(48000, 120.0), (48000, 125.0), (44100, 120.0), (96000, 90.0)])
def test_equal_times_are_equal_numbers_from_whatever_block_they_are_counted(rate: int, bpm: float) -> None:
    # at 120 beats a minute and 48 kHz, a twelfth of all frames lie midway between two ten-thousandths of a beat
    per_frame = bpm / 60.0 / rate
    for frame in range(1440, 200_000, 479):
        told = set()
        for block in range(0, frame, 512):
            beat = block / rate * bpm / 60.0
            told.add(_rounded(beat // 1 + beat % 1 + (frame - block) / rate * bpm / 60.0, 4))
        (beat,) = told
        assert abs(beat - frame * per_frame % 4) % 4 < 6e-5


def test_a_transport_that_stands_or_has_no_tempo_gives_no_clock() -> None:
    model = Listening()
    with playing(model) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        for bpm, rolling in ((120.0, False), (0.0, True), (5.0, True)):
            for _ in range(20):
                transport(reader, bpm, 1.0, rolling=rolling)
                reader.render(reader.block / reader.rate)
            assert session.status()["transport"]["rolling"] == rolling
        assert set(model.clocks) == {None}


def test_a_message_before_a_bounce_sets_the_beat_of_its_first_frame() -> None:
    model = Listening()
    with playing(model) as (session, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(0.5, paced=True)
        takes = []
        for _ in range(2):
            reader.segment.arm(False)
            reader.render(0.05)
            reader.segment.freewheel(True)
            reader.segment._store("freewheel", 1)
            rest(session)
            done = len(model.clocks)
            session.set_transport(97.0, 1.5, 4, True)
            session.reset(1, epoch=True)
            rest(session)
            reader.segment.arm(True)
            for number in range(300):
                transport(reader, 97.0, 1.5 + number * reader.block / reader.rate * 97.0 / 60)
                reader.render(reader.block / reader.rate)
            rest(session)
            takes.append([clock.beat for clock in model.clocks[done:] if clock is not None])
            assert len(takes[-1]) == len(model.clocks) - done
            reader.segment.freewheel(False)
        expected = [(1.5 + step * 0.04 * 97.0 / 60) % 4 for step in range(len(takes[0]))]
        assert takes[0] == takes[1]
        assert takes[0] == pytest.approx(expected, abs=1e-3)
        transport(reader, 97.0, 0.0, rolling=False)  # a studio that tells a tempo and stands: the message is over
        reader.render(0.5, paced=True)
        done = len(model.clocks)
        for _ in range(40):
            transport(reader, 97.0, 0.0, rolling=False)
            reader.render(reader.block / reader.rate, paced=True)
        assert model.clocks[-1] is None


def test_a_message_sets_the_bar_where_the_segment_has_none() -> None:
    model = Listening()
    with playing(model, Options(floor_s=0.1)) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(0.5)
        rest(session)
        done = len(model.clocks)
        assert set(model.clocks) == {None}
        session.set_transport(120.0, 1.0, 3, True)
        fill = reader.segment.fill / reader.rate
        reader.render(0.5)
        clocks = [clock for clock in model.clocks[done:] if clock is not None]
        assert len(clocks) == len(model.clocks) - done > 5
        assert clocks[0].beats_per_bar == 3
        assert clocks[0].beat == pytest.approx((1.0 + 2 * fill) % 3, abs=0.02)
        assert np.diff([clock.beat for clock in clocks[:3]]) % 3 == pytest.approx(0.08, abs=1e-3)
        told = session.status()["transport"]
        assert told["rolling"] is True
        assert told["bpm"] == 120.0
        session.set_transport(120.0, 0.0, 3, False)
        reader.render(0.5)
        assert model.clocks[-1] is None
        for wrong in ((20.0, 0.0, 4), (120.0, 4.0, 4), (120.0, 0.0, 1)):
            with pytest.raises(ValueError, match="transport"):
                session.set_transport(*wrong, True)


def test_a_told_time_goes_on_in_a_new_epoch() -> None:
    """Until the first block of an epoch has come, the clock anchor is of before it."""
    with playing(Listening()) as (session, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(0.5, paced=True)
        session.set_transport(120.0, 0.0, 4, True)
        told = time.monotonic()
        time.sleep(0.3)
        session.reset(epoch=True)
        wanted = (time.monotonic() - told) * 2.0
        assert session.status()["transport"]["beat"] == pytest.approx(wanted, abs=0.1)
