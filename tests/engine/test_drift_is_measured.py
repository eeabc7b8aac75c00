"""How far the music is off the clock is measured, told in the status, and never in the music's way."""

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from players import Reader, playing, wait_for

from jackdaw.cli._status import text
from jackdaw.engine._drift import Drift
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.models.contract import Audio, Clock, Controls, StreamSpec
from jackdaw.engine.prompts import Prompt
from jackdaw.engine.weights.registry import load_model

RATE, STEP = 48000, 1920
Sound = NDArray[np.float64]


def kick(loud: float = 0.8) -> Sound:
    at = np.arange(RATE // 7) / RATE
    return loud * np.sin(2 * np.pi * (50 * at + 2 * (1 - np.exp(-at / 0.02)))) * np.exp(-at / 0.05)


def hiss(generator: np.random.Generator, loud: float, decay: float, *, bright: bool) -> Sound:
    noise = generator.normal(size=RATE // 10)
    return loud * (np.diff(noise, prepend=0.0) if bright else noise) * np.exp(-np.arange(len(noise)) / RATE / decay)


def drums(pattern: str, bpm: float, late: float, seconds: float = 10.0) -> Audio:
    """Return a pattern whose beats are `late` seconds behind those of a clock that starts with it, and a soft chord."""
    generator = np.random.default_rng(1)
    sound, beat = np.zeros(round((seconds + 1) * RATE)), 60.0 / bpm

    def hit(at: float, what: Sound) -> None:
        start = round((at + late) * RATE)
        if 0 <= start < len(sound) - len(what):
            sound[start : start + len(what)] += what

    for number in range(int(seconds / beat) + 1):
        at = number * beat
        snare = hiss(generator, 0.3, 0.04, bright=False)
        if pattern == "clicks":
            hit(at, np.full(48, 0.5))
        elif pattern == "rock":
            hit(at, snare if number % 2 else kick())
            for part in (0.0, 0.5):
                hit(at + part * beat, hiss(generator, 0.1, 0.02, bright=True))
        elif pattern == "loud off-beats":
            hit(at, kick(0.3))
            hit(at + 0.5 * beat, hiss(generator, 0.4, 0.05, bright=True))
        elif pattern == "sixteenths":
            hit(at, kick())
            for part in (0.0, 0.25, 0.5, 0.75):
                hit(at + part * beat, hiss(generator, 0.15, 0.015, bright=True))
        elif pattern == "swing":
            hit(at, hiss(generator, 0.2, 0.05, bright=True))
            if number % 2:
                hit(at + 2 / 3 * beat, hiss(generator, 0.15, 0.05, bright=True))
            hit(at, kick(0.2))
    time_ = np.arange(len(sound)) / RATE
    sound += 0.05 * sum(np.sin(2 * np.pi * tone * time_) for tone in (220.0, 277.0, 330.0))
    return np.repeat(sound[: round(seconds * RATE), None], 2, axis=1).astype(np.float32)


def measured(audio: Audio, bpm: float, drift: Drift | None = None, start: float = 0.0) -> dict[str, Any]:
    """Return what a meter tells at the end of music that begins with a clock's beat `start`."""
    drift = drift or Drift(lambda *_, **__: pytest.fail("it broke"))
    for at in range(0, len(audio) - STEP + 1, STEP):
        drift.add(audio[at : at + STEP], Clock(bpm=bpm, beat=round((start + at / RATE * bpm / 60) % 4, 4) % 4), RATE)
    drift._asked = 0.0  # it measures once a second
    return drift.status()


@pytest.mark.parametrize("bpm", [80.0, 120.0, 160.0])
@pytest.mark.parametrize("pattern", ["clicks", "rock", "loud off-beats", "sixteenths", "swing"])
def test_offsets_are_measured(pattern: str, bpm: float) -> None:
    for late in (-0.060, -0.020, 0.0, 0.033, 0.060):
        told = measured(drums(pattern, bpm, late), bpm)
        assert told["offset_ms"] == pytest.approx(late * 1e3, abs=8.0)
        assert told["bpm"] == pytest.approx(bpm, abs=0.3)
        assert told["error"] is None


@pytest.mark.parametrize("pattern", ["clicks", "rock", "loud off-beats"])
def test_another_tempo_is_seen_and_the_offset_moves(pattern: str) -> None:
    audio = drums(pattern, 121.0, 0.0, 12.0)
    for seconds in (7.0, 9.0, 11.0):
        told = measured(audio[: round(seconds * RATE)], 120.0)
        assert told["bpm"] == pytest.approx(121.0, abs=0.3)
        assert told["offset_ms"] == pytest.approx(-1e3 * seconds / 121.0, abs=8.0)


def test_what_has_no_pulse_has_no_offset() -> None:
    generator, at = np.random.default_rng(3), np.arange(10 * RATE) / RATE
    sounds = {
        "noise": 0.1 * generator.normal(size=len(at)),
        "silence": np.zeros(len(at)),
        "drone": 0.2 * np.sin(2 * np.pi * 110.0 * at) + 0.2 * np.sin(2 * np.pi * 110.7 * at),
        "swell": 0.2 * np.sin(2 * np.pi * 0.3 * at) * np.sin(2 * np.pi * 330.0 * at),
    }
    for name, sound in sounds.items():
        for bpm in (80.0, 120.0, 160.0):
            told = measured(np.repeat(sound[:, None], 2, axis=1).astype(np.float32), bpm)
            assert (told["offset_ms"], told["bpm"]) == (None, None), (name, bpm, told)
    assert measured(drums("rock", 97.0, 0.0), 120.0)["offset_ms"] is None  # music in a time of its own


def test_a_jump_of_the_clock_forgets() -> None:
    audio = drums("rock", 120.0, 0.030)
    drift = Drift(lambda *_, **__: pytest.fail("it broke"))
    assert measured(audio, 120.0, drift)["offset_ms"] is not None
    assert measured(audio[: 4 * STEP], 120.0, drift, start=0.4)["offset_ms"] is None
    assert measured(audio, 120.0, drift)["offset_ms"] == pytest.approx(30.0, abs=8.0)
    drift.add(audio[:STEP], None, RATE)  # the clock stands
    assert drift.status() == {"offset_ms": None, "bpm": None, "sure": 0.0, "error": None}


def test_a_step_costs_the_device_thread_little() -> None:
    audio, spans = drums("rock", 120.0, 0.0), []
    drift = Drift(lambda *_, **__: None)
    for at in range(0, len(audio), STEP):
        begun = time.thread_time()
        drift.add(audio[at : at + STEP], Clock(bpm=120.0, beat=at / RATE * 2 % 4), RATE)
        spans.append(time.thread_time() - begun)
    print(f"{np.median(spans) * 1e3:.3f} ms a step")
    assert np.median(spans) < 0.3e-3


def test_what_breaks_is_said_once_and_shown() -> None:
    said: list[str] = []
    drift = Drift(lambda event, **fields: said.append(fields["error"]))
    clock = Clock(bpm=120.0, beat=0.0)
    for _ in range(3):
        drift.add(np.zeros(STEP, np.float32), clock, RATE)  # type: ignore[arg-type] # of no channels at all
    assert len(said) == 1
    assert drift.status()["error"] == said[0]


class Drumming(Beep):
    """Plays a pattern round and round on its clock, `late` seconds behind it."""

    def __init__(self, late: float) -> None:
        super().__init__("beep")
        old = self._spec
        self._spec = StreamSpec(
            name=old.name, levels=old.levels, codebook=old.codebook, style_size=old.style_size, hears=True,
            controls=old.controls | {"clock"}, look_ahead=480,
        )  # fmt: skip
        self._bar = drums("rock", 120.0, late + 0.010, 4.0)[RATE : 3 * RATE]  # its look-ahead is 10 ms

    def step(self, state: dict[str, Any], controls: Controls, heard: Audio | None) -> tuple[dict[str, Any], Audio]:
        state, audio = super().step(state, controls, heard)
        at = 0 if controls.clock is None else round(controls.clock.beat * RATE / 2)
        return state, np.take(self._bar, np.arange(at, at + len(audio)), axis=0, mode="wrap")


def drift_of(session: Any) -> dict[str, Any]:
    """Return what is told now, and not what was up to a second ago."""
    session._shared.drift._asked = 0.0
    told: dict[str, Any] = session.status()["drift"]
    return told


def test_a_session_reports_it() -> None:
    with playing(Drumming(0.040)) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(1.0)
        assert drift_of(session)["offset_ms"] is None
        assert "beat" not in text(session.status())
        session.set_transport(120.0, 0.0, 4, True)
        reader.render(8.0)
        told = drift_of(session)
        assert told["offset_ms"] == pytest.approx(40.0, abs=10.0)
        assert f"beat {told['offset_ms']:+.0f} ms" in text(session.status())
        session.set_transport(120.0, 1.3, 4, True)
        reader.render(1.0)
        assert drift_of(session)["offset_ms"] is None
        assert "beat ?" in text(session.status())


def test_a_broken_meter_does_not_stop_the_music(monkeypatch: pytest.MonkeyPatch) -> None:
    with playing(Drumming(0.0)) as (session, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        monkeypatch.setattr(session._shared.drift, "_add", lambda *_: 1 / 0)
        reader.render(1.0, paced=True)
        wait_for(lambda: "ZeroDivisionError" in (session.status()["drift"]["error"] or ""))
        assert "beat: see the log" in text(session.status())
        assert np.abs(reader.render(0.5, paced=True)).max() > 0


@pytest.mark.slow
def test_tiny_is_on_the_told_beat() -> None:
    model = load_model("tiny")
    model.warm_up()
    with playing(model) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        session.set_prompts([Prompt(text="disco funk")])
        session.set_transport(120.0, 0.0, 4, True)
        told: list[float] = []
        for _ in range(8):
            reader.render(2.0)
            now = drift_of(session)
            told += [now["offset_ms"]] if now["offset_ms"] is not None else []
        assert len(told) >= 4
        assert abs(np.median(told)) < 40.0
