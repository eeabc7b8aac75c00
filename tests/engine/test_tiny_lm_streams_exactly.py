"""The language model's stream: offline == step by step, saved == never stopped, equal seed == equal tokens, masked ==
absent."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jackdaw.engine.models.contract import Chord, Clock
from jackdaw.engine.models.tiny_lm import (
    CONDITION_SIZE,
    NOTHING,
    LMConfig,
    condition,
    forward,
    init_params,
    init_state,
    level_logits,
    sampling_noise,
    step,
)

CONFIG = LMConfig(
    levels=3, codebook=64, layers=2, width=32, heads=2, depth_width=16, depth_hidden=16, window=10, period=32
)
FRAMES = 75  # more than seven windows, two periods


@pytest.fixture(scope="module")
def params():
    return init_params(CONFIG, 0)


def example(batch=2, frames=FRAMES):
    rng = np.random.default_rng(0)
    target = rng.integers(0, CONFIG.codebook, (batch, frames, CONFIG.levels)).astype(np.int32)
    played = np.concatenate([np.full_like(target[:, :1], NOTHING), target[:, :-1]], axis=1)
    cond = rng.normal(size=(batch, frames, CONDITION_SIZE)).astype(np.float32)
    return played, cond, target


def generate(params, state, played, frames, seed=7, temperature=1.0, top_k=20, start=0, guidance=None):
    cond = np.zeros((played.shape[0], CONDITION_SIZE), np.float32)
    run = jax.jit(partial(step, config=CONFIG))
    out = []
    for frame in range(start, start + frames):
        noise = sampling_noise(CONFIG, seed, frame)
        given = {"played": played, "cond": cond, "noise": noise, "guidance": guidance}
        state, played = run(params, state=state, temperature=temperature, top_k=top_k, **given)
        out.append(np.asarray(played))
    return state, np.stack(out, axis=1)


def test_step_by_step_gives_the_logits_of_the_whole_sequence(params):
    played, cond, target = example()
    whole = forward(params, CONFIG, played, cond, target)
    run = jax.jit(partial(level_logits, config=CONFIG))
    state = init_state(CONFIG, 2)
    for frame in range(FRAMES):
        state, logits = run(params, state=state, played=played[:, frame], cond=cond[:, frame], target=target[:, frame])
        for level in range(CONFIG.levels):
            np.testing.assert_allclose(logits[level], whole[level][:, frame], atol=2e-4)


def test_what_lies_behind_the_reach_of_all_layers_is_forgotten(params):
    played, cond, target = example()
    reach = CONFIG.layers * (CONFIG.window - 1)
    other = played.copy()
    other[:, : FRAMES - reach - 1] = 5
    last = [logits[:, -1] for logits in forward(params, CONFIG, played, cond, target)]
    again = [logits[:, -1] for logits in forward(params, CONFIG, other, cond, target)]
    np.testing.assert_allclose(last[0], again[0], atol=1e-5)


def test_a_stream_goes_on_after_its_frame_counter_has_turned_over(params):
    cycle = int(np.lcm(CONFIG.window, CONFIG.period))
    start = jnp.full((1, CONFIG.levels), NOTHING, jnp.int32)
    state, first = generate(params, init_state(CONFIG), start, 25)
    late = {**state, "frame": state["frame"] + cycle * ((2 * cycle - 5 - 25) // cycle)}
    _, soon = generate(params, state, first[:, -1], 2 * cycle, start=25)
    _, later = generate(params, late, first[:, -1], 2 * cycle, start=25)
    np.testing.assert_array_equal(soon, later)


def test_a_state_that_was_kept_goes_on_as_if_never_stopped(params):
    start = jnp.full((1, CONFIG.levels), NOTHING, jnp.int32)
    _, whole = generate(params, init_state(CONFIG), start, 40)
    state, first = generate(params, init_state(CONFIG), start, 23)
    kept = jax.tree.map(lambda array: jnp.asarray(np.array(array)), state)
    _, second = generate(params, kept, first[:, -1], 17, start=23)
    np.testing.assert_array_equal(whole, np.concatenate([first, second], axis=1))


def test_equal_seeds_give_equal_tokens_and_others_do_not(params):
    start = jnp.full((1, CONFIG.levels), NOTHING, jnp.int32)
    one, two, three = (generate(params, init_state(CONFIG), start, 20, seed=seed)[1] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert (one != three).any()


def test_temperature_zero_and_one_code_allowed_are_both_greedy(params):
    start = jnp.full((1, CONFIG.levels), NOTHING, jnp.int32)
    _, cold = generate(params, init_state(CONFIG), start, 20, temperature=0.0, top_k=CONFIG.codebook)
    _, single = generate(params, init_state(CONFIG), start, 20, temperature=1.0, top_k=1)
    np.testing.assert_array_equal(cold, single)


def test_guidance_of_nothing_changes_nothing(params):
    start = jnp.full((1, CONFIG.levels), NOTHING, jnp.int32)
    _, plain = generate(params, init_state(CONFIG), start, 20)
    _, both = generate(params, init_state(CONFIG, 2), jnp.concatenate([start, start]), 20, guidance=0.0)
    np.testing.assert_array_equal(both[0], plain[0])
    np.testing.assert_array_equal(both[1], plain[0])


def test_what_is_masked_is_as_if_it_were_absent():
    clock, chord = Clock(bpm=100, beat=1.5), Chord(root=7, quality="min7")
    style = np.full(128, 128**-0.5, np.float32)
    assert not condition().any()
    whole = condition(style, clock, chord)
    parts = condition(style) + condition(clock=clock) + condition(chord=chord)
    np.testing.assert_array_equal(whole, parts)
    assert (
        (condition(style) != 0).astype(int) + (condition(clock=clock) != 0) + (condition(chord=chord) != 0)
    ).max() == 1


def test_a_style_or_chord_of_another_kind_is_answered():
    with pytest.raises(ValueError, match="shape"):
        condition(np.ones(64, np.float32))
    with pytest.raises(ValueError, match="quality"):
        condition(chord=Chord(root=0, quality="sus13"))
