"""`tiny`: what is heard takes the place of what it chose; what is too soft to matter changes nothing."""

import numpy as np
import pytest
from players import Reader, playing

from jackdaw.engine.models.contract import Audio, Controls
from jackdaw.engine.models.tiny import GATE_DB, Tiny
from jackdaw.engine.models.tiny_lm import NOTHING

STEPS = 12


def sound(level: float, seed: int = 0) -> Audio:
    noise = np.random.default_rng(seed).normal(size=(STEPS * 1920, 2))
    return (level * noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


def contexts(tiny: Tiny, controls: Controls, heard: Audio | None) -> "np.ndarray[tuple[int, ...], np.dtype[np.int32]]":
    state, rows = tiny.init(1), []
    for step in range(STEPS):
        state, _ = tiny.step(state, controls, None if heard is None else heard[step * 1920 : (step + 1) * 1920])
        rows.append(tiny.context(state))
    return np.stack(rows)


def test_alone_it_goes_on_from_what_it_chose(tiny: Tiny) -> None:
    state = tiny.init(1)
    for step in range(STEPS):
        before = np.asarray(state["networks"]["codes"])
        state, _ = tiny.step(state, Controls(), None)
        assert np.array_equal(tiny.context(state), before)
        assert (before == NOTHING).all() == (step == 0)


def test_without_feedback_the_context_is_the_input(tiny: Tiny) -> None:
    heard = sound(0.1)
    _, tokens = tiny.encode(None, heard)
    told = contexts(tiny, Controls(feedback=0.0), heard)
    assert np.array_equal(told[1:], tokens[1:, : told.shape[1]])


def test_input_gain_is_gain(tiny: Tiny) -> None:
    soft = contexts(tiny, Controls(feedback=0.0, input_gain=4.0), sound(0.025))
    loud = contexts(tiny, Controls(feedback=0.0), sound(0.1))
    assert np.mean(soft == loud) > 0.95  # roundings may turn a close choice


@pytest.mark.parametrize("hum", [0.5, 0.99])
def test_below_the_gate_nothing_is_heard(tiny: Tiny, hum: float) -> None:
    alone = contexts(tiny, Controls(), None)
    assert np.array_equal(contexts(tiny, Controls(), sound(hum * 10 ** (GATE_DB / 20)) * 0.9), alone)


def test_above_the_gate_it_is_heard(tiny: Tiny) -> None:
    alone = contexts(tiny, Controls(), None)
    assert not np.array_equal(contexts(tiny, Controls(), sound(0.3)), alone)


def test_a_live_session_plays_what_the_steps_make(tiny: Tiny) -> None:
    """Through ring and renderer, with its first fade over: the samples of the steps, bit by bit."""
    with playing(tiny) as (_, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        played = reader.render(2.0)
    state, pieces = tiny.init(0), []
    for _ in range(50):
        state, audio = tiny.step(state, Controls(), None)
        pieces.append(audio)
    made = np.concatenate(pieces)
    fade = 1000
    starts = [
        offset for offset in range(4000) if np.array_equal(played[offset + fade : offset + 40000], made[fade:40000])
    ]
    assert len(starts) == 1


def test_a_reset_leaves_no_hole(tiny: Tiny) -> None:
    """The new music's look-ahead is silent; the old goes on for as long."""
    with playing(tiny) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(1.0)
        session.reset(seed=5)
        played = reader.render(1.0)
    blocks = played[: len(played) // 240 * 240].reshape(-1, 240, 2)
    loudness = blocks.std(axis=(1, 2))
    assert loudness.min() > 0.1 * np.median(loudness)


def test_a_warm_model_compiles_nothing_when_it_first_hears(tiny: Tiny) -> None:
    tiny.warm_up()
    count = tiny._networks._mix._cache_size()
    state, _ = tiny.step(tiny.init(1), Controls(), None)
    tiny.step(state, Controls(), sound(0.3)[:1920])
    assert 0 < tiny._networks._mix._cache_size() == count
