"""What leaves the renderer is what the model made, in order, none lost and none doubled."""

import threading

import numpy as np
import pytest
from players import Reader, band_limited_noise, hosting, opened, playing, wait_for

from jackdaw.dsp import SegmentWriter
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.models.contract import Audio, Controls
from jackdaw.engine.options import Options

RAMP = 1 << 24


def ramp_numbers(audio: Audio) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    """Return the sample numbers that the ramp says, after the fade-in; fail where left and right differ."""
    assert np.array_equal(audio[:, 0], -audio[:, 1])
    numbers = np.rint(audio[:, 0].astype(np.float64) * RAMP).astype(np.int64)
    start = np.flatnonzero(numbers)[0] + 1000
    return numbers[start:]


@pytest.mark.parametrize("block", [64, 128, 441, 1024])
def test_not_a_sample_is_lost_doubled_or_changed(block: int) -> None:
    with playing(Beep("beep-ramp")) as (_, name), Reader(name, block=block) as reader:
        reader.wait_until_engine_is_ready()
        numbers = ramp_numbers(reader.render(20.0))
        assert np.array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers)))
        assert numbers[0] < 2500
        assert reader.segment.counters.underruns == 0


@pytest.mark.parametrize("late", ["reader_instance", "reader_rate", "reader_block"])
def test_a_reader_that_comes_while_the_engine_looks_begins_one_epoch(
    late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It attaches just after the engine has read one of its fields: values from before and after must not be mixed."""
    real = getattr(SegmentWriter, late).fget
    came: list[Reader] = []

    def read_and_attach(writer: SegmentWriter) -> int:
        value: int = real(writer)
        if not came:
            came.append(Reader(writer.name))
        return value

    with playing(Beep("beep-ramp")):
        monkeypatch.setattr(SegmentWriter, late, property(read_and_attach))
        wait_for(lambda: bool(came))
        with came[0] as reader:
            reader.wait_until_engine_is_ready()
            assert ramp_numbers(reader.render(1.0))[0] < 2500


def test_equal_seed_and_input_give_equal_bytes() -> None:
    runs = []
    for _ in range(2):
        with playing(Beep("beep"), Options(seed=3)) as (_, name), Reader(name, rate=44100) as reader:
            reader.wait_until_engine_is_ready()
            runs.append(reader.render(6.0, band_limited_noise(44100)).tobytes())
    assert runs[0] == runs[1]


def test_freewheel_hears_the_same_whatever_the_policy() -> None:
    runs = []
    for hear in ("aligned", "newest"):
        with playing(Beep("beep-echo"), Options(hear=hear)) as (_, name), Reader(name) as reader:
            reader.wait_until_engine_is_ready()
            runs.append(reader.render(4.0, band_limited_noise(48000)).tobytes())
    assert runs[0] == runs[1]


def test_music_at_another_rate_is_the_music_of_the_model() -> None:
    """A beep train at 44.1 kHz: as many beeps, at the same times, with the same peak."""
    with playing(Beep("beep"), Options(seed=3)) as (_, name), Reader(name, rate=44100) as reader:
        reader.wait_until_engine_is_ready()
        audio = reader.render(5.0)[:, 0]
    loud = np.abs(audio) > 0.05
    starts = np.flatnonzero(
        loud
        & ~np.concatenate([[False] * 4410, np.lib.stride_tricks.sliding_window_view(loud, 4410).any(1)])[: len(loud)]
    )
    gaps = np.diff(starts)
    assert len(gaps) >= 8
    assert np.abs(gaps - 22050).max() <= 2
    assert np.abs(audio).max() == pytest.approx(0.25, abs=0.01)


def test_a_knob_turns_at_the_next_step() -> None:
    class Recorder(Beep):
        gains: list[float]

        def __init__(self) -> None:
            super().__init__("beep-echo")
            self.gains = []

        def step(
            self, state: dict[str, object], controls: Controls, heard: Audio | None
        ) -> tuple[dict[str, object], Audio]:
            self.gains.append(controls.input_gain)
            return super().step(state, controls, heard)

    model = Recorder()
    with playing(model) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(1.0)
        wait_for(lambda: session.status()["fill_ms"] >= session.status()["target_ms"])
        done = len(model.gains)
        session.set({"input_gain": -6.0})
        reader.render(1.0)
        assert model.gains[done - 1] == 1.0
        assert model.gains[done] == pytest.approx(10 ** (-6 / 20))
        assert session.status()["parameters"]["input_gain"] == -6.0


def test_a_wrong_knob_changes_nothing() -> None:
    with playing(Beep()) as (session, _):
        before = session.status()["parameters"]
        for bad in ({"temperature": 9.0}, {"volume": float("nan")}, {"nix": 1.0}, {"top_k": 5, "feedback": -1.0}):
            with pytest.raises(ValueError, match=r"."):
                session.set(bad)
        assert session.status()["parameters"] == before


def test_the_volume_glides_and_zero_decibels_change_no_bit() -> None:
    class Steady(Beep):
        def step(
            self, state: dict[str, object], controls: Controls, heard: Audio | None
        ) -> tuple[dict[str, object], Audio]:
            state, audio = super().step(state, controls, heard)
            return state, np.full_like(audio, 0.5)

    with playing(Steady("beep-echo")) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        loud = reader.render(1.0)[4800:]
        session.set({"volume": -60.0})
        audio = reader.render(1.0)
    assert np.all(loud == 0.5)
    assert np.all(audio[-4800:] == 0.0)
    assert np.abs(np.diff(audio[:, 0])).max() < 0.5 / 900


def test_a_reset_starts_over_without_a_gap() -> None:
    with playing(Beep("beep-ramp")) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        before = ramp_numbers(reader.render(2.0))
        session.reset()
        after = reader.render(2.0)[:, 0]
        numbers = np.rint(after.astype(np.float64) * RAMP)
        assert np.count_nonzero(numbers == 0) == 0
        assert numbers[-1] < before[-1] + 4000  # it counts from the start again
        assert reader.segment.counters.underruns == 0


def test_the_end_is_a_fade_and_no_underrun() -> None:
    class Steady(Beep):
        def step(
            self, state: dict[str, object], controls: Controls, heard: Audio | None
        ) -> tuple[dict[str, object], Audio]:
            state, audio = super().step(state, controls, heard)
            return state, np.full_like(audio, 0.5)

    with hosting(Steady("beep-echo")) as host, Reader(opened(host, "beep-echo").name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(1.0, paced=True)
        closer = threading.Thread(target=host.close, args=(reader.segment.name,))
        closer.start()
        end = reader.render(1.0, paced=True)
        closer.join()
        assert end[-1, 0] == 0.0
        assert np.abs(np.diff(end[:, 0])).max() < 0.5 / 150  # the steepest of 50 ms and the last 5 ms
        assert reader.segment.counters.underruns == 0


def test_status_says_what_is_so() -> None:
    with playing(Beep("beep-echo"), Options(floor_s=0.1)) as (session, name):
        idle = session.status()
        assert idle["reader_alive"] is False
        assert idle["first_sound_ns"] == 0
        with Reader(name) as reader:
            reader.wait_until_engine_is_ready()
            reader.render(2.0, band_limited_noise(48000))
            status = session.status()
            assert status["model"] == "beep-echo"
            assert status["rate"] == 48000
            assert status["reader_alive"] is True
            assert status["armed"] is True
            assert status["played_s"] == pytest.approx(2.0, abs=0.1)
            assert status["loop_latency"] == reader.segment.loop_latency
            assert status["rtf"] > 0
            assert list(status["loading_s"]) == ["fingerprint", "weights", "warm-up"]
            assert status["first_sound_ns"] > 0
            assert len(status["heard"]["tokens"]) == 4
            assert status["levels"]["in"][0] > -40
            quantiles = status["step_ms"]
            assert 0 < quantiles["p50"] <= quantiles["p95"] <= quantiles["p99"]
