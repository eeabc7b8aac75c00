"""What happens in a session is told with the time at which it is heard."""

import time
from typing import Any

import numpy as np
import pytest
from players import Reader, playing, wait_for
from test_notes_and_time_reach_the_model import transport

from jackdaw.engine.models.beep import Beep
from jackdaw.engine.prompts import Prompt

RATE = 48000


def told(session: Any, kind: str) -> list[dict[str, Any]]:
    return [event for event in session.status()["events"] if event["kind"] == kind]


def test_a_reset_is_told_where_the_stream_begins_anew() -> None:
    with playing(Beep("beep-ramp")) as (session, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(0.5, paced=True)
        session.reset(4)
        assert told(session, "reset") == []  # it is made, and not heard yet
        begun, played = time.monotonic_ns(), reader.render(1.0, paced=True)
        (event,) = told(session, "reset")
        assert event["text"] == "reset, seed 4"
        age = played[-1, 0] * 2**24 - 1
        assert (event["ns"] - begun) / 1e9 == pytest.approx((len(played) - age) / RATE, abs=0.02)


def test_prompts_are_told_as_they_change() -> None:
    with playing(Beep()) as (session, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(0.5, paced=True)
        session.set_prompts([Prompt(text="disco funk", weight=0.7), Prompt(text="bossa nova", weight=0.3)])
        reader.render(0.5, paced=True)
        session.set({"weight_1": 0.0})
        session.set({"temperature": 1.5})
        session.mark("preset slow", ahead=True)
        session.mark("now")
        reader.render(0.5, paced=True)
        assert [event["text"] for event in told(session, "prompts")] == [
            "no prompt",
            "disco funk 0.7, bossa nova 0.3",
            "bossa nova 0.3",
        ]
        assert [event["text"] for event in told(session, "start")] == ["beep, seed 0"]
        now, ahead = told(session, "mark")
        assert (now["text"], ahead["text"]) == ("now", "preset slow")
        assert ahead["ns"] == told(session, "prompts")[-1]["ns"]


def test_the_transport_is_told_as_it_starts_jumps_and_stops() -> None:
    with playing(Beep()) as (session, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(0.5, paced=True)
        for bpm, beat, rolling in ((120.0, 0.0, True), (120.0, 2.5, True), (90.0, 0.0, True), (90.0, 0.0, False)):
            session.set_transport(bpm, beat, 4, rolling)
            reader.render(0.7, paced=True)
        events = [event for event in session.status()["events"] if "rolling" in event]
        assert [event["text"] for event in events] == [
            "transport starts, 120 bpm",
            "transport jumps",
            "90 bpm, 4 beats a bar",
            "transport stops",
        ]
        assert (events[0]["bpm"], events[0]["beat"], events[0]["beats_per_bar"]) == (120.0, 0.0, 4)
        spans = np.diff([event["ns"] / 1e9 for event in events])
        np.testing.assert_allclose(spans, 0.7, atol=0.06)


def test_a_block_that_comes_late_is_no_jump() -> None:
    with playing(Beep()) as (session, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        begun = time.monotonic()
        for number in range(400):
            if number == 200:
                time.sleep(0.035)  # and the blocks after it catch up
            transport(reader, 120.0, number * reader.block / RATE * 2)
            reader.render(reader.block / RATE)
            time.sleep(max(0.0, begun + (number + 1) * reader.block / RATE - time.monotonic()))
        wait_for(lambda: told(session, "transport") != [])
        assert [event["text"] for event in told(session, "transport")] == ["transport starts, 120 bpm"]
