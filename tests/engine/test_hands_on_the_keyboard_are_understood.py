"""Every strike is one onset, pedals hold, pads ask for drums, panic hushes; whatever comes, nothing hangs."""

import random

import numpy as np
import pytest
from players import Reader, playing, wait_for
from test_notes_and_time_reach_the_model import Listening, midi, rest

from jackdaw.dsp import lib
from jackdaw.engine._notes import Notes, Played
from jackdaw.engine.models.contract import Audio, Chord, Controls, StreamSpec

STEP_S = 0.04


class Keyboard:
    """Steps of notes, with MIDI written in words: `on 60`, `off 60`, `pedal 127`, `pad 36`, `cc 123`, hex bytes."""

    def __init__(self) -> None:
        self.notes = Notes()

    def step(self, *events: str) -> Played:
        words = {"on": (0x90, 100), "off": (0x80, 0), "on2": (0x91, 100), "off2": (0x81, 0), "pad": (0x99, 100)}
        for event in events:
            kind, _, number = event.partition(" ")
            if kind in words:
                message = bytes([words[kind][0], int(number), words[kind][1]])
            elif kind == "pedal":
                message = bytes([0xB0, 64, int(number)])
            elif kind == "cc":
                message = bytes([0xB0, int(number), 0])
            else:
                message = bytes.fromhex(event)
            self.notes.queue([(0, message)])
        return self.notes.step(1, STEP_S)


# events of each step, and the notes that sound in it
TABLE = {
    "held": [("on 60", {60}), ("", {60}), ("off 60", set()), ("", set())],
    "shorter than a step": [("on 60, off 60", {60}), ("", set()), ("", set())],
    "note-on with velocity 0 is off": [("on 60", {60}), ("90 3c 00", set())],
    "struck again within a step": [("on 60", {60}), ("off 60, on 60", set()), ("", {60}), ("off 60", set())],
    "struck again, short": [("on 60", {60}), ("off 60, on 60, off 60", set()), ("", {60}), ("", set())],
    "off in one step, on in the next": [("on 60", {60}), ("off 60", set()), ("on 60", {60}), ("", {60})],
    "two strikes within the first step are one": [("on 60, off 60, on 60", {60}), ("", {60}), ("off 60", set())],
    "an off without an on": [("off 60", set()), ("on 61", {61}), ("off 60", {61})],
    "two channels hold one note": [("on 60", {60}), ("off 60, on2 60", set()), ("", {60}), ("off2 60", set())],
    "pedal holds": [("on 60, pedal 127", {60}), ("off 60", {60}), ("", {60}), ("pedal 0", set())],
    "half a pedal is none": [("on 60, pedal 63", {60}), ("off 60", set())],
    "pedal does not let go of a finger": [("on 60, pedal 127", {60}), ("pedal 0", {60}), ("off 60", set())],
    "struck again under the pedal": [
        ("on 60, pedal 127", {60}), ("off 60", {60}), ("on 60", set()), ("", {60}), ("pedal 0", {60}),
        ("off 60", set()),
    ],
    "pedal is of its channel": [("on2 60, pedal 127", {60}), ("off2 60", set())],
    "all notes off": [("on 60, on 64, pedal 127, off 60", {60, 64}), ("cc 123", set()), ("", set())],
    "all notes off is of its channel": [("on 60, on2 64", {60, 64}), ("cc 123", {64}), ("off2 64", set())],
    "all sound off": [("on 60", {60}), ("cc 120", set()), ("off 60", set())],
    "reset controllers lifts the pedal": [("on 60, pedal 127", {60}), ("off 60", {60}), ("cc 121", set())],
    "system reset": [("on 60, on2 64, pedal 127", {60, 64}), ("ff", set()), ("on 60", {60}), ("off 60", set())],
    "running status": [("90 3c 64 40 64 43", {60, 64}), ("64", {60, 64, 67}), ("3c 00 40 00 43 00", set())],
    "real time within a message": [("90 f8 3c fe 64", {60}), ("80 3c f8 00", set())],
    "SysEx is skipped": [("90 3c 64 f0 7e 7f 09 01 f7 40 64", {60}), ("80 3c 00", set())],
    "data without status": [("3c 64", set()), ("3c", set())],
    "pads are no notes": [("pad 36, on 60", {60}), ("89 24 00", {60})],
}  # fmt: skip


@pytest.mark.parametrize("steps", TABLE.values(), ids=TABLE.keys())
def test_table_of_onsets(steps: list[tuple[str, set[int]]]) -> None:
    keyboard = Keyboard()
    for events, sounding in steps:
        assert keyboard.step(*(events.split(", ") if events else ())).notes == sounding


def test_a_pad_asks_for_drums_for_two_seconds() -> None:
    keyboard = Keyboard()
    assert not keyboard.step("on 36").drums
    asked = [keyboard.step("pad 36", "89 24 00").drums] + [keyboard.step().drums for _ in range(60)]
    assert asked == [True] * 50 + [False] * 11
    keyboard.step("pad 36")
    assert not keyboard.step("b9 7b 00").drums


def test_the_last_chord_stays_until_another_or_a_panic() -> None:
    keyboard = Keyboard()
    c, a_minor = Chord(root=0), Chord(root=9, quality="min")
    assert keyboard.step("on 60", "on 64").chord is None
    assert keyboard.step("on 67").chord == c
    assert keyboard.step("off 60", "off 64", "off 67").chord == c
    assert keyboard.step("on 48").chord == c
    assert keyboard.step("off 48", "pedal 127", "on 57", "on 60", "on 64").chord == a_minor
    assert keyboard.step("off 57", "off 60", "off 64", "on 55", "on 59", "on 62").chord == Chord(root=7)
    assert keyboard.step("pedal 0").chord == Chord(root=7)
    assert keyboard.step("cc 123").chord is None
    keyboard.step("off 55", "off 59", "off 62", "on 57", "off 57", "pedal 127")
    assert keyboard.step("on 60", "off 60", "on 64", "off 64", "on 67").chord == c  # broken, under the pedal
    assert keyboard.step("ff").chord is None


def test_ten_thousand_random_messages_leave_nothing_hanging() -> None:
    """Whole and torn messages, running status, SysEx, stuck notes; after every panic, silence."""
    choose = random.Random(7)
    notes, turned = Notes(lambda *control: turned.append(control)), []
    for number in range(10_000):
        kind = choose.random()
        if kind < 0.5:
            status = choose.choice([0x80, 0x90, 0x91, 0x99, 0xB0, 0xE0])
            data = bytes([status, choose.randrange(128), choose.randrange(128)])
        elif kind < 0.7:
            data = bytes(choose.randrange(128) for _ in range(choose.randrange(1, 9)))  # running status
        elif kind < 0.85:
            data = bytes([0xF0, *(choose.randrange(128) for _ in range(7))])  # SysEx without an end
        else:
            data = choose.randbytes(choose.randrange(1, 9))
        notes.queue([(number, data)])
        if choose.random() < 0.3:
            played = notes.step(number + 1, STEP_S)
            assert all(0 <= note <= 127 for note in played.notes)
        if number % 500 == 499:
            panic = [bytes([0xB0 + channel, 123, 0]) for channel in range(16)]
            notes.queue([(number, message) for message in panic])
            notes.step(number + 1, STEP_S)
            assert notes.step(number + 1, STEP_S) == Played()
            assert notes.held == frozenset()
    assert all(0 <= channel < 16 and number < 120 and value < 128 for channel, number, value in turned)


def test_keys_that_are_let_go_sound_no_more() -> None:
    """Ten thousand strikes and releases of whole keys, with the pedal: what no finger and no pedal holds is silent."""
    choose = random.Random(11)
    notes, down, pedal, kept = Notes(), set(), False, set()
    for _ in range(10_000):
        key = choose.randrange(40, 60)
        if choose.random() < 0.05:
            pedal = not pedal
            notes.play([bytes([0xB0, 64, 127 * pedal])])
            kept = kept if pedal else set()
        elif key in down:
            notes.play([bytes([choose.choice([0x80, 0x90]), key, 0])])
            down.discard(key)
            kept |= {key} if pedal else set()
        else:
            notes.play([bytes([0x90, key, 64])])
            down.add(key)
            kept.discard(key)
        assert notes.held == down | kept


class Band(Listening):
    """A test model that understands chords and drums, too."""

    def __init__(self) -> None:
        super().__init__()
        old = self._spec
        self._spec = StreamSpec(name=old.name, levels=old.levels, codebook=old.codebook, style_size=old.style_size,
                                hears=True, controls=old.controls | {"chord", "drums"})  # fmt: skip
        self.asked: list[tuple[Chord | None, bool | None]] = []

    def step(
        self, state: dict[str, object], controls: Controls, heard: Audio | None
    ) -> tuple[dict[str, object], Audio]:
        self.asked.append((controls.chord, controls.drums))
        return super().step(state, controls, heard)


def test_chords_and_drums_reach_a_model_that_knows_them() -> None:
    model, c = Band(), Chord(root=0)
    with playing(model) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        rest(session)
        done = len(model.asked)
        session.play_notes([bytes([0x90, note, 64]) for note in (60, 64, 67)])
        reader.render(0.2)
        rest(session)
        assert set(model.asked[:done]) == {(None, None)}
        assert set(model.asked[done:]) == {(c, None)}
        assert session.status()["chord"] == {"root": 0, "quality": "maj"}
        session.set({"chords": 0})
        session.play_notes([bytes([0x99, 36, 64])])
        done = len(model.asked)
        reader.render(0.2)
        rest(session)
        assert set(model.asked[done + 1 :]) == {(None, True)}


def test_a_flood_leaves_no_note_hanging() -> None:
    """More than the ring holds, so that a note-off may be lost: what was held is let go, and keys play on."""
    model = Listening()
    with playing(model) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        reader.segment.freewheel(False)
        midi(reader, 0, 0x90, 60, 1)
        reader.render(0.1, paced=True)
        wait_for(lambda: session.status()["notes"] == [60])
        for _ in range(3 * lib.JD_MIDI_CAPACITY // 250):  # twice what the ring holds between two steps
            for _ in range(250):
                midi(reader, 0, 0xE0, 0, 64)
            reader.segment.renderer.render(np.zeros((reader.block, 2), np.float32), reader.block)
        reader.render(0.5, paced=True)
        wait_for(lambda: session.status()["notes"] == [])
        midi(reader, 0, 0x90, 62, 1)
        reader.render(0.3, paced=True)
        wait_for(lambda: session.status()["notes"] == [62])
