"""After a reset with an epoch, equal seed, parameters and input give equal bytes, whatever was before."""

import time
from typing import Any

import numpy as np
import pytest
from players import Reader, band_limited_noise, playing, wait_for

from jackdaw.dsp import ffi, lib
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.models.contract import Audio, Controls, Model
from jackdaw.engine.options import Options
from jackdaw.engine.prompts import Prompt
from jackdaw.engine.session import Session


class Unsteady(Beep):
    """A test model whose steps take long, one more than the other, while it is told so."""

    def __init__(self) -> None:
        super().__init__("beep")
        self.slowness = 0.0
        self._random = np.random.default_rng()

    def step(self, state: dict[str, Any], controls: Controls, heard: Audio | None) -> tuple[dict[str, Any], Audio]:
        time.sleep(self.slowness * self._random.random())
        return super().step(state, controls, heard)


def bounce(session: Session, reader: Reader, seconds: float, seed: int = 5) -> bytes:
    """Bounce as a plugin does: fade out, wait for the engine from now on, begin an epoch, render notes and time."""
    reader.segment.arm(False)
    reader.render(0.05)
    reader.segment.freewheel(True)
    reader.segment._store("freewheel", 1)
    session.reset(seed, epoch=True)
    reader.segment.arm(True)
    source, audio = band_limited_noise(reader.rate, seed=1), []
    for number in range(round(seconds * reader.rate / reader.block)):
        time_now = ffi.new("jd_transport *")
        beats = 1.25 + number * reader.block / reader.rate * 97.0 / 60.0
        time_now.state, time_now.bpm, time_now.bar = 1, 97.0, int(beats // 4) + 1
        time_now.beat, time_now.tick = int(beats % 4) + 1, beats % 1
        time_now.beats_per_bar, time_now.beat_type, time_now.ns = 4.0, 4.0, lib.jd_now_ns()
        lib.jd_client_transport(reader.segment.client, time_now)
        if number % 40 == 10:
            lib.jd_client_midi(reader.segment.client, 17, bytes([0x90, 48 + number % 30, 100]), 3)
        if number % 40 == 33:
            lib.jd_client_midi(reader.segment.client, 3, bytes([0x80, 48 + (number - 23) % 30, 0]), 3)
        audio.append(reader.render(reader.block / reader.rate, source))
    reader.segment.freewheel(False)
    return np.concatenate(audio).tobytes()


@pytest.mark.parametrize(("rate", "block"), [(48000, 256), (44100, 512), (96000, 1024)])
@pytest.mark.parametrize("hear", ["aligned", "newest"])
def test_bounces_are_equal_whatever_was_played_before(rate: int, block: int, hear: str) -> None:
    model = Unsteady()
    options = Options(hear=hear, floor_s=0.1, prompts=[Prompt(text="disco"), Prompt(text="rock")])
    with playing(model, options) as (session, name), Reader(name, rate=rate, block=block, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        takes, loops = [], []
        for slowness in (0.0, 0.15, 0.002):
            model.slowness = slowness
            session.set({"weight_1": 0.0, "volume": 6.0})
            session.play_notes([bytes([0x90, 100, 1])])
            reader.render(0.6, band_limited_noise(rate, seed=7), paced=True)
            model.slowness = min(slowness, 0.003)
            session.set({"weight_1": 0.5, "volume": -1.0})
            takes.append(bounce(session, reader, 3.0))
            loops.append(reader.segment.loop_latency)
        assert takes[0] == takes[1] == takes[2]
        assert loops[0] == loops[1] == loops[2]
        assert bounce(session, reader, 3.0, seed=6) != takes[0]


def test_bounces_of_a_model_with_weights_are_equal(tiny: Model) -> None:
    options = Options(prompts=[Prompt(text="disco")])
    with playing(tiny, options) as (session, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        takes = []
        for _ in range(2):
            reader.render(0.3, band_limited_noise(48000, seed=7), paced=True)
            takes.append(bounce(session, reader, 2.0))
        assert takes[0] == takes[1]
        assert np.any(np.frombuffer(takes[0], np.float32))


@pytest.mark.parametrize("frozen", [0.0, 1.0])
def test_bounces_are_equal_however_hearing_is_steered(frozen: float) -> None:
    """The style of the input, too, is embedded on a thread of its own: a bounce waits for it."""
    knobs = {"gap": 70.0, "loop_delay": 1.5, "duck": -6.0, "intro": 1.0, "live_style": 0.7, "freeze": frozen}
    options = Options(parameters=knobs, prompts=[Prompt(text="disco")])
    with playing(Beep("beep"), options) as (session, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        takes = []
        for seconds in (0.3, 0.7, 0.1):
            reader.render(seconds, band_limited_noise(48000, seed=7), paced=True)
            takes.append(bounce(session, reader, 5.0))
        assert takes[0] == takes[1] == takes[2]
        assert np.any(np.frombuffer(takes[0], np.float32))


def test_a_bounce_has_nothing_of_before_in_it() -> None:
    """The ramp counts from its first sample on, right after the fade-in: parameters hold from there."""
    with playing(Beep("beep-ramp")) as (session, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(1.0, paced=True)
        session.set({"volume": -60.0})
        reader.segment.arm(False)
        reader.render(0.1)  # fades
        reader.segment.freewheel(True)
        before = reader.segment.epoch
        session.set({"volume": 0.0})
        assert session.reset(1, epoch=True) == before + 1 == reader.segment.epoch
        reader.segment.arm(True)
        audio = reader.render(0.5)[:, 0]
        numbers = np.rint(audio[240:].astype(np.float64) * (1 << 24))
        assert np.array_equal(numbers, np.arange(241, 241 + len(numbers)))


def test_a_reset_without_a_reader_is_a_new_epoch_too() -> None:
    with playing(Beep("beep-ramp")) as (session, name):
        with Reader(name) as reader:
            reader.wait_until_engine_is_ready()
            reader.render(1.0)
            before = reader.segment.epoch
        wait_for(lambda: not session.status()["reader_alive"])
        assert session.reset(epoch=True) == before + 1
        with Reader(name) as reader:
            reader.wait_until_engine_is_ready()
            audio = reader.render(0.5)[:, 0]
            start = np.flatnonzero(audio)[0]
            number = round(float(audio[start + 1000]) * (1 << 24))
            assert number < 1200


def test_many_resets_while_nobody_plays_do_no_harm() -> None:
    with playing(Beep("beep-ramp")) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        for _ in range(60):
            session.reset(epoch=True)
            wait_for(lambda: session.status()["fill_ms"] > 200)
        assert session.phase == "ready"
