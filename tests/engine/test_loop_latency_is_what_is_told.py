"""An echo comes back after exactly the loop latency that is told, at any rate and period, whatever happens."""

import time

import numpy as np
import pytest
from players import Reader, band_limited_noise, delay_of, playing, wait_for

from jackdaw.engine.models.beep import Beep
from jackdaw.engine.models.contract import Audio, Controls
from jackdaw.engine.options import Options


def error_db(heard: Audio, played: Audio, delay: int, start: int, count: int) -> float:
    """Return how far `played` is from `heard` `delay` frames earlier, in dB below it."""
    wanted = heard[start - delay : start - delay + count]
    difference = played[start : start + count] - wanted
    return float(20 * np.log10(max(np.abs(difference).max(), 1e-15) / np.abs(wanted).max()))


@pytest.mark.parametrize("rate", [44100, 48000, 88200, 96000])
@pytest.mark.parametrize("block", [64, 256, 1024])
def test_the_echo_is_on_the_frame(rate: int, block: int) -> None:
    with playing(Beep("beep-echo")) as (_, name), Reader(name, rate=rate, block=block) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(3.0, band_limited_noise(rate))
        heard, played = reader.all()
        loop = reader.segment.loop_latency
    assert loop % block == 0
    assert delay_of(heard, played) == loop
    error = error_db(heard, played, loop, round(1.5 * rate), rate)
    assert error < (-180 if rate == 48000 else -90)


@pytest.mark.parametrize("floor", [0.02, 0.1, 0.5, 1.5])
def test_the_floor_moves_the_loop(floor: float) -> None:
    with playing(Beep("beep-echo"), Options(floor_s=floor)) as (_, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(5.0, band_limited_noise(48000))
        heard, played = reader.all()
        loop = reader.segment.loop_latency
    assert abs(loop / 48000 - 0.04 - floor) < 0.03
    assert delay_of(heard, played) == loop


class Stalling(Beep):
    """An echo whose steps take long when told so."""

    def __init__(self) -> None:
        super().__init__("beep-echo")
        self.stall = 0.0

    def step(
        self, state: dict[str, object], controls: Controls, heard: Audio | None
    ) -> tuple[dict[str, object], Audio]:
        stall, self.stall = self.stall, 0.0
        time.sleep(stall)
        return super().step(state, controls, heard)


@pytest.mark.parametrize("rate", [44100, 48000])
def test_after_a_stall_the_loop_is_again_what_is_told(rate: int) -> None:
    model = Stalling()
    with playing(model) as (_, name), Reader(name, rate=rate, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        source = band_limited_noise(rate)
        reader.render(1.0, source, paced=True)
        model.stall = 0.6
        reader.render(2.5, source, paced=True)
        assert reader.segment.counters.underruns >= 1
        mark = sum(map(len, reader.out))
        reader.render(2.0, source, paced=True)
        heard, played = reader.all()
        loop = reader.segment.loop_latency
        if reader.segment.counters.underruns == 1:  # a busy machine may add some of its own
            assert error_db(heard, played, loop, mark, rate) < (-180 if rate == 48000 else -90)
        assert delay_of(heard[mark - rate // 2 :], played[mark - rate // 2 :]) == loop


def test_nothing_older_than_the_limit_waits_in_the_ring() -> None:
    model = Stalling()
    with playing(model) as (session, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(0.5, paced=True)
        for _ in range(3):
            model.stall = 0.5
            for _ in range(100):
                reader.render(0.01, paced=True)
                status = session.status()
                assert status["fill_ms"] <= status["target_ms"] + 40 + 60


def test_after_a_stall_that_overran_the_input_nothing_old_is_heard() -> None:
    model = Stalling()
    with playing(model, capacity=32768) as (_, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        loud, quiet = band_limited_noise(48000), np.zeros((256, 2), np.float32)
        reader.render(1.0, loud, paced=True)
        model.stall = 1.5
        reader.render(0.9, loud, paced=True)
        reader.render(1.1, lambda _: quiet, paced=True)  # by now the ring is full of what was loud
        assert reader.segment.counters.overruns > 0
        mark = sum(map(len, reader.out))
        reader.render(1.0, loud, paced=True)
        heard, played = reader.all()
        loop = reader.segment.loop_latency
        assert np.abs(played[-24000:] - heard[-24000 - loop : -loop]).max() == 0
        assert np.abs(played[mark - 4800 : mark + 4800]).max() == 0


def test_newest_hears_what_was_played_last_after_a_stall() -> None:
    """Input that grows with time: after a stall, what the model hears first is at most a step older than the newest."""

    class Listening(Stalling):
        heard: list[float]

        def __init__(self) -> None:
            super().__init__()
            self.heard = []

        def step(
            self, state: dict[str, object], controls: Controls, heard: Audio | None
        ) -> tuple[dict[str, object], Audio]:
            result = super().step(state, controls, heard)
            assert heard is not None
            self.heard.append(float(heard[-1, 0]))
            return result

    model = Listening()
    at = 0

    def source(frames: int) -> Audio:
        nonlocal at
        at += frames
        return np.full((frames, 2), at / 48000 / 100, np.float32)

    with playing(model, Options(hear="newest")) as (_, name), Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(1.0, source, paced=True)
        model.stall = 1.0
        reader.render(0.1, source, paced=True)
        wait_for(lambda: model.stall == 0.0)
        count = len(model.heard)
        reader.render(1.5, source, paced=True)
        steps = np.diff(model.heard[count - 1 :]) * 100
        assert steps.max() > 0.8  # it jumped over the stall in one step
        assert model.heard[-1] * 100 > at / 48000 - 0.2
