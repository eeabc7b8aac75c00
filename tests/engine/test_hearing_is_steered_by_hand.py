"""What the model hears is what the knobs say, to the sample; at their defaults, it is the input."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from players import Reader, band_limited_noise, delay_of, playing, wait_for

from jackdaw.engine._ear import MEMORY_S, Ear
from jackdaw.engine._entrance import Entrance
from jackdaw.engine._knobs import Knobs, Steering
from jackdaw.engine._live_style import LiveStyle
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.models.contract import Audio, Clock, StreamSpec, Style
from jackdaw.engine.options import Options
from jackdaw.engine.parameters import defaults
from jackdaw.engine.prompts import blend

RATE, STEP, FADE, RAMP = 48000, 1920, 480, 240
LATE = 3 * STEP
CLOCK = Clock(bpm=120.0, beat=0.0)
BEAT = RATE // 2


def spec(hears_at: int = 0) -> StreamSpec:
    return StreamSpec(name="ear", hears=True, hears_at=hears_at)


def noise(seconds: float, seed: int = 0) -> Audio:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * 25) * STEP, 2)).astype(np.float32)


def heard_by(
    ear: Ear, sound: Audio, knobs: Callable[[int], dict[str, float]], clock: Clock | None = CLOCK, late: int = LATE
) -> Audio:
    """Return what is heard of a sound; `knobs(step)` are those that are not at their defaults."""
    pieces = [
        ear.hear(sound[start : start + STEP], defaults() | knobs(number), clock, late)
        for number, start in enumerate(range(0, len(sound), STEP))
    ]
    return np.concatenate(pieces)


def test_by_default_the_input_is_heard() -> None:
    sound = noise(4)
    assert np.array_equal(heard_by(Ear(spec()), sound, lambda _: {}), sound)


@pytest.mark.parametrize("gap", [10.0, 40.0, 333.0, 1000.0])
def test_a_gap_is_heard_later(gap: float) -> None:
    sound = noise(4)
    late = round(gap * 48)
    heard = heard_by(Ear(spec()), sound, lambda _: {"gap": gap})
    assert np.array_equal(heard[late + FADE :], sound[FADE:-late])
    assert not heard[FADE:late].any()


@pytest.mark.parametrize("hears_at", [0, -STEP, -960])
@pytest.mark.parametrize("beats", [1.0, 4.0, 7.5])
def test_a_loop_is_heard_in_time(beats: float, hears_at: int) -> None:
    # Input n sounded LATE samples before sample n of the output: it is to come back whole loops later, and what is
    # heard is put hears_at samples from the step's sound.
    sound = noise(10)
    heard = heard_by(Ear(spec(hears_at)), sound, lambda _: {"loop_delay": beats})
    back = round(beats * BEAT) - hears_at - LATE
    assert np.array_equal(heard[back + FADE :], sound[FADE : len(sound) - back])


def test_a_loop_shorter_than_the_latency_waits_for_the_next() -> None:
    sound, late = noise(4), BEAT + 100
    heard = heard_by(Ear(spec()), sound, lambda _: {"loop_delay": 0.25}, late=late)
    back = 5 * BEAT // 4 - late  # four quarters of a beat would be before the latency
    assert np.array_equal(heard[back + FADE :], sound[FADE : len(sound) - back])


def test_without_a_clock_there_is_no_loop() -> None:
    sound = noise(2)
    assert np.array_equal(heard_by(Ear(spec()), sound, lambda _: {"loop_delay": 4.0}, clock=None), sound)


def test_a_loop_that_cannot_be_kept_is_none() -> None:
    sound = noise(1)
    slow = Clock(bpm=30.0, beat=0.0)
    assert MEMORY_S < 64 * 2
    assert np.array_equal(heard_by(Ear(spec()), sound, lambda _: {"loop_delay": 64.0}, clock=slow), sound)


def test_the_ring_turns_without_a_seam() -> None:
    sound = noise(MEMORY_S * 2 + 3)
    heard = heard_by(Ear(spec()), sound, lambda _: {"gap": 500.0})
    assert np.array_equal(heard[24000 + FADE :], sound[FADE:-24000])


def tone(seconds: float) -> Audio:
    at = np.arange(round(seconds * 25) * STEP) / RATE
    return np.repeat((0.5 * np.sin(2 * np.pi * 220.0 * at))[:, None], 2, axis=1).astype(np.float32)


STEEPEST = 0.5 * 2 * np.pi * 220.0 / RATE


@pytest.mark.parametrize(
    "knobs",
    [
        lambda step: {"gap": 100.0 * (step % 7)},
        lambda step: {"freeze": float(step // 13 % 2)},
        lambda step: {"loop_delay": float(step // 20 % 3)},
        lambda step: {"freeze": float(step // 9 % 2), "gap": 50.0 * (step // 5 % 3)},
    ],
)
def test_turning_them_never_clicks(knobs: Callable[[int], dict[str, float]]) -> None:
    heard = heard_by(Ear(spec()), tone(8), knobs)
    # two crossfades may overlap, each adds a ramp of up to 1 in 480 samples
    assert np.abs(np.diff(heard, axis=0)).max() < 2 * STEEPEST + 3 / FADE


def test_a_frozen_loop_goes_round() -> None:
    sound, start = noise(12), 60
    heard = heard_by(Ear(spec()), sound, lambda step: {"freeze": float(start <= step < 250)})
    begun, bar = start * STEP, 4 * BEAT
    assert np.array_equal(heard[:begun], sound[:begun])
    loop = heard[begun + FADE : begun + bar - FADE]
    assert np.array_equal(loop, sound[begun - bar + FADE : begun - FADE])
    assert np.array_equal(loop, heard[begun + bar + FADE : begun + 2 * bar - FADE])
    assert np.array_equal(heard[250 * STEP + FADE :], sound[250 * STEP + FADE :])


def test_a_file_takes_the_place_of_the_input() -> None:
    ear, loop = Ear(spec()), noise(0.4, seed=1)[:10000]
    ear.listen(loop)
    heard = heard_by(ear, noise(1), lambda _: {})
    assert np.array_equal(heard, np.concatenate([loop] * 5)[: len(heard)])
    ear.listen(None)
    assert np.array_equal(heard_by(ear, noise(1), lambda _: {})[FADE:], noise(1)[FADE:])


def test_going_to_a_file_and_back_never_clicks() -> None:
    ear, riff, pieces = Ear(spec()), tone(1)[: RATE * 10 // 11], []  # whole periods
    for number in range(20):
        ear.listen(riff if number % 3 == 1 else None)
        pieces.append(heard_by(ear, tone(0.2), lambda _: {}))
    # each piece of tone(0.2) is 44 whole periods
    assert np.abs(np.diff(np.concatenate(pieces), axis=0)).max() < 2 * STEEPEST + 3 / FADE


def levels(entrance: Entrance, sound: Audio, knobs: dict[str, float], clocks: list[Clock | None]) -> Audio:
    """Return the gains that a model's sound gets."""
    gains = []
    for number, clock in enumerate(clocks):
        entrance.look(sound[number * STEP : (number + 1) * STEP], defaults() | knobs, clock)
        gains.append(entrance.shaped(np.ones((STEP, 2), np.float32)))
    return np.concatenate(gains)


def test_the_output_ducks_while_the_input_sounds() -> None:
    steps = 100
    sound = np.zeros((steps * STEP, 2), np.float32)
    sound[25 * STEP : 50 * STEP] = noise(1)
    gains = levels(Entrance(spec()), sound, {"duck": -12.0}, [None] * steps)[:, 0]
    assert (gains[: 25 * STEP] == 1.0).all()
    assert gains[25 * STEP + RATE // 20 : 50 * STEP] == pytest.approx(10 ** (-12 / 20), rel=0.03)
    assert gains[-1] > 0.95
    assert np.abs(np.diff(gains)).max() < 0.002


def test_by_default_no_level_is_touched() -> None:
    assert (levels(Entrance(spec()), noise(2), {}, [CLOCK] * 50) == 1.0).all()


@pytest.mark.parametrize(("beat", "bars"), [(0.0, 1), (0.0, 2), (1.5, 1)])
def test_an_intro_ends_on_the_bar_line(beat: float, bars: int) -> None:
    clocks = [
        Clock(bpm=120.0, beat=(beat + number * STEP / BEAT) % 4.0) if number >= 10 else None for number in range(300)
    ]
    first = clocks[10]
    assert first is not None
    gains = levels(Entrance(spec()), noise(12), {"intro": float(bars)}, clocks)[:, 0]
    start = 10 * STEP
    entry = start + round((4 * bars - first.beat) * BEAT)
    assert (gains[:start] == 1.0).all()
    assert not gains[start + RAMP : entry].any()
    assert (gains[entry + RAMP :] == 1.0).all()
    assert np.abs(np.diff(gains)).max() < 1.1 / RAMP


@pytest.mark.parametrize("bpm", [60.0, 97.0, 133.7, 180.0])
def test_an_intro_never_clicks(bpm: float) -> None:
    """However the bar line lies in a step, and though time stops, or the music is begun anew, in the midst of it."""
    sound, entrance, gains = noise(30), Entrance(spec()), []
    for number in range(750):
        beat = number * STEP / RATE * bpm / 60.0
        clock = None if 50 <= number < 55 else Clock(bpm=bpm, beat=beat % 4.0)
        if number == 520:
            entrance.begin_intro()
        entrance.look(sound[number * STEP : (number + 1) * STEP], defaults() | {"intro": 2.0}, clock)
        gains.append(entrance.shaped(np.ones((STEP, 2), np.float32))[:, 0])
    gain = np.concatenate(gains)
    assert not gain[0]
    assert np.abs(np.diff(gain)).max() < 1.1 / RAMP
    assert np.count_nonzero(np.diff((gain > 0.5).astype(int)) > 0) == 3


def test_an_intro_is_silent_before_its_clock_is_known() -> None:
    entrance = Entrance(spec())
    for early, clock in ((True, None), (True, None), (False, CLOCK)):
        entrance.look(noise(0.04), defaults() | {"intro": 1.0}, clock, early=early)
        assert not entrance.shaped(np.ones((STEP, 2), np.float32)).any()


class Muse(Beep):
    """Embeds audio as its mean level says; breaks down at the loudest."""

    def embed(self, prompt: "str | Audio") -> Style:
        level = float(np.abs(np.asarray(prompt)).max())
        if level > 0.9:
            raise ValueError("too loud")
        style = np.zeros(8, np.float32)
        style[int(level * 8)] = 1.0
        return style


def test_the_style_of_the_input_follows_it() -> None:
    said: list[str] = []
    live = LiveStyle(Muse(), lambda event, **_: said.append(event))
    level = 0.3

    def newest(samples: int) -> Audio:
        return np.full((samples, 2), level, np.float32)

    def known() -> int | None:
        style = live.look(True, newest)
        return None if style is None else int(np.argmax(style))

    wait_for(lambda: known() == 2)
    level = 0.6
    wait_for(lambda: known() == 4)
    level = 0.99
    wait_for(lambda: known() == 4 and bool(said))
    assert live.look(False, newest) is None
    live.close()


def test_the_style_of_the_input_glides() -> None:
    knobs = Knobs({"live_style": 0.5}, [blues := np.eye(8, dtype=np.float32)[0]])
    steering, first, second = Steering(knobs, spec()), *np.eye(8, dtype=np.float32)[1:3]

    def played(live: Style | None, steps: int) -> list[Style]:
        return [style for _ in range(steps) if (style := steering.controls(live=live).style) is not None]

    assert np.array_equal(played(None, 1)[0], blues)
    styles = played(first, 10)
    assert styles[-1] == pytest.approx(blend([blues, first], [1.0, 0.5]))
    styles += played(second, 40)
    assert styles[-1] == pytest.approx(blend([blues, second], [1.0, 0.5]))
    knobs.turn({"live_style": 0.0})
    styles += played(None, 10)
    assert np.array_equal(styles[-1], blues)
    assert max(np.linalg.norm(b - a) for a, b in pairwise([blues, *styles])) < 0.45


def test_silence_has_no_style() -> None:
    live = LiveStyle(Muse(), lambda *_, **__: None)
    for _ in range(200):
        assert live.look(True, lambda samples: np.zeros((samples, 2), np.float32)) is None
    live.close()


def test_a_session_hears_by_its_knobs() -> None:
    """Through ring and renderer: an echo with a gap comes back later by the gap."""
    with playing(Beep("beep-echo"), Options(parameters={"gap": 250.0})) as (_, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(3.0, band_limited_noise(48000))
        heard, played = reader.all()
        loop = reader.segment.loop_latency
    assert delay_of(heard, played) == loop + 12000


def test_a_session_hears_loops_in_time() -> None:
    with playing(Beep("beep-echo"), Options(parameters={"loop_delay": 4.0})) as (session, name):
        session.set_transport(120.0, 0.0, 4, True)
        with Reader(name) as reader:
            reader.wait_until_engine_is_ready()
            reader.render(6.0, band_limited_noise(48000))
            heard, played = reader.all()
    assert delay_of(heard, played) == 4 * BEAT


def test_a_session_hears_a_file_instead(tmp_path: Path) -> None:
    sound = noise(1.0, seed=3)
    soundfile.write(tmp_path / "riff.wav", sound, RATE, subtype="FLOAT")
    with playing(Beep("beep-echo")) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(0.5)
        assert session.listen(tmp_path / "riff.wav") == tmp_path / "riff.wav"
        assert session.status()["listens_to"] == str(tmp_path / "riff.wav")
        played = reader.render(3.0)
        assert np.abs(played[RATE:]).max() > 0.3
        session.listen(None)
        reader.render(2.0)
        assert not reader.render(0.5).any()
        soundfile.write(tmp_path / "short.wav", sound[:100], RATE)
        with pytest.raises(ValueError, match="too short or too long"):
            session.listen(tmp_path / "short.wav")
        assert session.status()["listens_to"] is None


def test_an_epoch_begins_with_nothing_heard() -> None:
    with playing(Beep("beep-echo"), Options(parameters={"gap": 1000.0})) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        source = band_limited_noise(48000)
        reader.render(2.0, source)
        session.reset(epoch=True)
        time.sleep(0.05)
        after = reader.render(0.5)
        assert not after[2000:].any()
