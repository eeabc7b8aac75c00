"""When the studio's time starts, stops, jumps or changes its tempo, what is played soon belongs to the new time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from players import Reader, playing
from test_notes_and_time_reach_the_model import transport

from jackdaw.engine.models.beep import Beep
from jackdaw.engine.models.contract import Audio, Controls, StreamSpec
from jackdaw.engine.options import Options

RATE = 48000
SETTLED_S = 0.4
PATIENT = Options(floor_s=1.0)
"""A second of music is kept ready: what is stale would be heard much longer than it takes to settle."""


class Ticking(Beep):
    """Plays an impulse on every beat of the clock that it is told, and a soft tone all the time."""

    def __init__(self) -> None:
        super().__init__("beep")
        old = self._spec
        self._spec = StreamSpec(
            name=old.name, levels=old.levels, codebook=old.codebook, style_size=old.style_size, hears=True,
            controls=old.controls | {"clock"},
        )  # fmt: skip
        self.tone = False

    def step(self, state: dict[str, Any], controls: Controls, heard: Audio | None) -> tuple[dict[str, Any], Audio]:
        state, audio = super().step(state, controls, heard)
        at = int(state["position"]) - len(audio) + np.arange(len(audio))
        wave = 0.2 * np.sin(2 * np.pi * 220.0 * at / RATE) if self.tone else np.zeros(len(audio))
        audio = np.repeat(wave[:, None], 2, axis=1).astype(np.float32)
        clock = controls.clock
        if clock is not None and not self.tone:
            beats = clock.beat + np.arange(-1, len(audio)) * clock.bpm / 60.0 / RATE
            audio[np.diff(np.floor(beats)) > 0] = 0.5
        return state, audio


class Desk:
    """A studio whose transport is told with every block."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.bpm, self.beats, self.rolling = 120.0, 0.0, False
        self.grid: list[float] = []
        self._begun = time.monotonic()
        self._blocks = 0

    def play(self, seconds: float) -> tuple[Audio, "np.ndarray[Any, np.dtype[np.float64]]"]:
        """Play on; return what was played, and the beat (not of the bar) at each of its samples."""
        reader, played, beats = self.reader, [], []
        for _ in range(round(seconds * RATE / reader.block)):
            transport(reader, self.bpm, self.beats, rolling=self.rolling)
            played.append(reader.render(reader.block / RATE))
            moved = np.arange(reader.block) * self.bpm / 60.0 / RATE if self.rolling else np.zeros(reader.block)
            beats.append(self.beats + moved)
            self.beats += reader.block * self.bpm / 60.0 / RATE * self.rolling
            self._blocks += 1
            time.sleep(max(0.0, self._begun + self._blocks * reader.block / RATE - time.monotonic()))
        return np.concatenate(played)[:, 0], np.concatenate(beats)


def misses(played: Audio, beats: "np.ndarray[Any, np.dtype[np.float64]]", bpm: float) -> list[float]:
    """Return how far each impulse is from a beat, in seconds."""
    at = np.flatnonzero(played > 0.25)
    at = at[np.diff(at, prepend=-1000) > 100]
    return [abs(beats[i] - round(beats[i])) * 60.0 / bpm for i in at]


CHANGES: dict[str, dict[str, float]] = {
    "relocated": {"beats": 17.37},
    "quicker": {"bpm": 190.0},
    "slower": {"bpm": 61.0},
    "elsewhere and slower": {"bpm": 83.0, "beats": 2.6},
}


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_the_music_is_on_the_new_beat(change: str) -> None:
    with playing(Ticking(), PATIENT) as (_, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        desk = Desk(reader)
        desk.rolling = True
        desk.play(1.63)  # within a bar, off the beat
        for key, value in CHANGES[change].items():
            setattr(desk, key, value)
        desk.play(SETTLED_S)
        played, beats = desk.play(2.5)
        found = misses(played, beats, desk.bpm)
        assert len(found) >= 2
        assert max(found) < 0.02
        assert reader.segment.counters.underruns <= 1


def test_started_it_is_on_the_beat_at_once() -> None:
    with playing(Ticking(), PATIENT) as (_, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        desk = Desk(reader)
        played, _ = desk.play(1.0)
        assert not (played > 0.25).any()
        desk.rolling = True
        desk.beats = 0.9 - SETTLED_S * 2
        desk.play(SETTLED_S)
        played, beats = desk.play(1.5)
        assert max(misses(played, beats, 120.0)) < 0.02
        desk.rolling = False
        desk.play(1.5)  # what is ready was for this beat, and plays on
        played, _ = desk.play(0.5)
        assert not (played > 0.25).any()


def test_a_loop_of_whole_bars_is_no_jump() -> None:
    with playing(Ticking(), PATIENT) as (_, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        desk = Desk(reader)
        desk.rolling = True
        desk.play(0.5)
        epoch = reader.segment.epoch
        for _ in range(3):
            desk.play(0.6)
            desk.beats -= 4.0
        desk.play(0.5)
        assert reader.segment.epoch == epoch


def clicks(played: list[Audio]) -> bool:
    """Return whether the tone has a step in it that neither it nor a fade of 5 ms makes."""
    steepest = 0.2 * 2 * np.pi * 220.0 / RATE
    fade = 0.4 / (0.005 * RATE)
    return bool(np.abs(np.diff(np.concatenate(played)[RATE // 4 :])).max() >= 2 * steepest + 2 * fade)


@contextmanager
def at_a_desk_with_a_tone() -> Iterator[Desk]:
    """Let a model play a steady tone, and yield who drives the transport."""
    model = Ticking()
    model.tone = True
    with playing(model, PATIENT) as (_, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        yield Desk(reader)


def test_jumps_do_not_click() -> None:
    with at_a_desk_with_a_tone() as desk:
        desk.rolling = True
        played = [desk.play(0.5)[0]]
        for jump in (1.3, 2.7, 0.4):
            desk.beats += jump
            played.append(desk.play(0.5)[0])
        assert not clicks(played)


def test_starts_and_stops_do_not_click() -> None:
    with at_a_desk_with_a_tone() as desk:
        played = [desk.play(0.5)[0]]
        for _ in range(2):
            for rolling in (True, False):
                desk.rolling = rolling
                played.append(desk.play(1.2)[0])
        assert not clicks(played)
        assert max(np.abs(part[-RATE // 4 :]).max() for part in played) > 0.15
