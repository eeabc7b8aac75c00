"""Pacing is a pure function of what was observed: it grows at once, shrinks late, and stays whole periods."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackdaw.engine._pacing import CALM_S, Observation, Pace, StepTimes, adapt, demand, first_pace


def seen(**changes: float) -> Observation:
    values = {
        "now": 0.0, "p99": 0.010, "load": 0.1, "underruns": 0, "rate": 48000, "period": 256, "step": 1920, "delay": 0,
        "floor": 9600, "ceiling": 96000,
    }  # fmt: skip
    return Observation(**{**values, **changes})  # type: ignore[arg-type]


def test_quick_steps_keep_the_floor() -> None:
    pace = first_pace(seen())
    assert pace.target == 9600
    assert pace.loop == 9600 + 1920


def test_slow_steps_raise_the_target_at_once() -> None:
    pace = first_pace(seen())
    slower = adapt(pace, seen(now=0.1, p99=0.3))
    assert slower.target >= 1.5 * 0.3 * 48000


def test_a_model_that_hardly_keeps_up_keeps_more_ready() -> None:
    targets = [demand(seen(p99=0.04, load=load)) for load in (0.1, 0.5, 0.66, 0.8, 0.9, 0.95, 1.5)]
    assert targets[0] == targets[1] == seen().floor
    assert demand(seen(load=0.49, floor=2400)) == 2400
    assert targets == sorted(targets)
    assert targets[3] >= 0.3 * 48000
    assert targets[4] >= 0.6 * 48000
    assert targets[-1] == targets[-2] <= seen().ceiling


def test_a_load_that_wavers_a_little_changes_nothing() -> None:
    pace = first_pace(seen(load=0.81))
    for load in (0.805, 0.82, 0.83, 0.815, 0.81):
        assert adapt(pace, seen(load=load)).loop == pace.loop


def test_an_underrun_raises_the_target_at_once_and_only_once() -> None:
    pace = first_pace(seen())
    after = adapt(pace, seen(now=0.1, underruns=1))
    assert after.target >= 1.2 * pace.target
    again = adapt(after, seen(now=0.2, underruns=1))
    assert again.loop == after.loop


def test_the_target_falls_only_after_half_a_minute_of_calm() -> None:
    high = adapt(first_pace(seen()), seen(now=1.0, underruns=1))
    pace = high
    for tick in range(1, int(CALM_S * 4)):
        pace = adapt(pace, seen(now=1.0 + tick / 4, underruns=1))
        assert pace.loop == high.loop
    assert adapt(pace, seen(now=1.0 + CALM_S, underruns=1)).target == 9600


def test_unrest_starts_the_half_minute_anew() -> None:
    pace = adapt(first_pace(seen()), seen(now=1.0, underruns=1))
    pace = adapt(pace, seen(now=20.0, underruns=1, p99=pace.target / 48000 / 1.55))
    assert adapt(pace, seen(now=31.0, underruns=1)).loop == pace.loop


observations = st.builds(
    seen,
    now=st.floats(0, 1000),
    p99=st.floats(0, 5),
    load=st.floats(0, 3),
    underruns=st.integers(0, 5),
    rate=st.sampled_from([44100, 48000, 88200, 96000, 192000]),
    period=st.sampled_from([16, 64, 128, 256, 441, 1024, 4096]),
    step=st.integers(1, 200000),
    delay=st.integers(0, 4000),
    floor=st.integers(0, 100000),
    ceiling=st.integers(0, 400000),
)


@given(st.lists(observations, min_size=1, max_size=20))
def test_whatever_is_observed_the_pace_is_sound(story: list[Observation]) -> None:
    pace: Pace | None = None
    for now in story:
        fixed = Observation(
            **{**vars(now), "rate": story[0].rate, "period": story[0].period, "step": story[0].step,
               "delay": story[0].delay}
        )  # fmt: skip
        pace = first_pace(fixed) if pace is None else adapt(pace, fixed)
        assert pace.loop % fixed.period == 0
        assert pace.loop == pace.target + fixed.step + fixed.delay
        assert pace.limit > pace.loop
        assert pace.target >= 2 * fixed.period + fixed.rate * 0.01 - 1  # the renderer plays nothing with less
        assert demand(fixed) <= pace.target or fixed.underruns < pace.underruns


def test_step_times_give_percentiles_of_the_last_steps() -> None:
    times = StepTimes(window=100)
    assert times.quantiles() == (0.0, 0.0, 0.0)
    for number in range(1, 201):
        times.add(number / 1000)
    p50, p95, p99 = times.quantiles()
    assert times.count == 200
    assert p50 == pytest.approx(0.150, abs=0.002)
    assert p95 == pytest.approx(0.195, abs=0.002)
    assert p99 == pytest.approx(0.199, abs=0.002)


def test_one_slow_step_is_not_the_rule() -> None:
    times = StepTimes()
    for seconds in (0.01, 0.01, 0.6, 0.01, 0.01):
        times.add(seconds)
    assert times.quantiles()[2] == pytest.approx(0.01)
