"""The language model's streams: offline == step by step, saved == never stopped, equal seed == equal tokens, masked ==
absent, side by side == alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jackdaw.engine.models.contract import Chord, Clock, Controls
from jackdaw.engine.models.sampling import most_likely
from jackdaw.engine.models.tiny_lm import (
    CONDITION_SIZE,
    GUIDED_LEVELS,
    NOTHING,
    SOBER,
    LMConfig,
    condition,
    forward,
    init_params,
    level_logits,
)
from jackdaw.engine.models.tiny_lm_stream import advance, by_level, init_row, sampling_noise, step

CONFIG = LMConfig(
    levels=3, codebook=64, layers=2, width=32, heads=2, depth_width=16, depth_hidden=16, window=10, period=32
)
FRAMES = 75  # more than seven windows, two periods
STEP = jax.jit(partial(step, config=CONFIG))
NOISE = jax.jit(partial(sampling_noise, CONFIG))


@pytest.fixture(scope="module")
def params():
    fresh = init_params(CONFIG, 0)
    bend = fresh["bend"]["kernel"]  # zero before training: conditions bend nothing
    return {**fresh, "bend": {"kernel": 0.02 * jax.random.normal(jax.random.key(1), bend.shape)}}


def example(batch=2, frames=FRAMES):
    rng = np.random.default_rng(0)
    target = rng.integers(0, CONFIG.codebook, (batch, frames, CONFIG.levels)).astype(np.int32)
    played = np.concatenate([np.full_like(target[:, :1], NOTHING), target[:, :-1]], axis=1)
    heard = rng.integers(0, CONFIG.codebook, (batch, frames, CONFIG.levels)).astype(np.int32)
    heard[:, ::3] = NOTHING
    cond = rng.normal(size=(batch, frames, CONDITION_SIZE)).astype(np.float32)
    return played, heard, cond, target


def generate(params, row, frames, seed=7, temperature=1.0, top_k=20, start=0, guidance=(), played=None):
    """Play one stream from a row; return the row and the codes (frames, levels)."""
    rows = [row] * (1 + len(guidance))
    played = np.full((1, CONFIG.levels), NOTHING, np.int32) if played is None else played[None]
    given = {
        "heard": np.full((len(rows), CONFIG.levels), NOTHING, np.int32),
        "temperature": np.float32([temperature]),
        "top_k": np.int32([top_k]),
    }
    given |= {"cond": np.zeros((len(rows), CONDITION_SIZE), np.float32)}
    given |= {"guidance": np.full((1, 1, GUIDED_LEVELS), 1.0, np.float32) * np.reshape(guidance, (-1, 1, 1))}
    out = []
    for frame in range(start, start + frames):
        noise = NOISE(seed, frame)[None]
        rows, played = STEP(by_level(params), rows=rows, played=played, noise=noise, **given)
        out.append(np.asarray(played[0]))
    return rows[0], np.stack(out)


@jax.jit
def frame_logits(params, rows, played, heard, cond, target):
    """Advance rows by one frame; return every level's logits where the coarser levels are the target's."""
    rows, outlook = advance(params, CONFIG, rows, played, heard, cond)
    coarser, logits = jnp.zeros_like(outlook[:, 0]), []
    for level in range(CONFIG.levels):
        logits.append(level_logits(params, level, outlook[:, level], coarser))
        coarser = coarser + params["codes"][level][target[:, level]]
    return rows, logits


def test_step_by_step_gives_the_logits_of_the_whole_sequence(params):
    played, heard, cond, target = example()
    whole = forward(params, CONFIG, played, heard, cond, target)
    rows = [init_row(CONFIG), init_row(CONFIG)]
    for frame in range(FRAMES):
        given = (played[:, frame], heard[:, frame], cond[:, frame], target[:, frame])
        rows, logits = frame_logits(by_level(params), rows, *given)
        for level in range(CONFIG.levels):
            np.testing.assert_allclose(logits[level], whole[level][:, frame], atol=2e-4)


def test_rows_side_by_side_are_as_alone_and_do_not_leak(params):
    """Rows of other ages beside it, in any order, and what they play: a row's logits stay the same."""
    played, heard, cond, target = example(batch=4, frames=40)

    def logits(order, changed=None):
        rows = [init_row(CONFIG) for _ in order]
        out = []
        for frame in range(40):
            for place, row in enumerate(order):
                if frame == 3 * row:
                    rows[place] = init_row(CONFIG)  # row r begins 3 r frames late
            now = played[order, frame].copy()
            if changed is not None:
                now[order.index(changed)] = frame % CONFIG.codebook
            given = (now, heard[order, frame], cond[order, frame], target[order, frame])
            rows, level = frame_logits(by_level(params), rows, *given)
            out.append(np.stack(level)[:, [order.index(row) for row in sorted(order)]])
        return np.stack(out)

    together = logits([0, 1, 2, 3])
    np.testing.assert_allclose(logits([2, 0, 3, 1]), together, atol=1e-5)
    np.testing.assert_allclose(logits([0, 1, 2, 3], changed=1)[:, :, [0, 2, 3]], together[:, :, [0, 2, 3]], atol=1e-5)
    for row in range(4):
        np.testing.assert_allclose(logits([row])[:, :, 0], together[:, :, row], atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7, 50, 63, 64])
def test_the_most_likely_are_those_that_sorting_finds(count):
    rng = np.random.default_rng(count)
    logits = rng.normal(size=(5, 64)).astype(np.float32)
    logits[1] *= 1e-30
    logits[2] = np.round(logits[2] * 2)  # many are equal
    logits[3] = -np.abs(logits[3]) * 1e30
    least = np.sort(logits, axis=1)[:, -count, None]
    kept = np.asarray(most_likely(logits + 0.0, np.full(5, count, np.int32)))
    np.testing.assert_array_equal(kept, logits >= least)


def test_what_lies_behind_the_reach_of_all_layers_is_forgotten(params):
    played, heard, cond, target = example()
    reach = CONFIG.layers * (CONFIG.window - 1)
    other = played.copy()
    other[:, : FRAMES - reach - 1] = 5
    last = [logits[:, -1] for logits in forward(params, CONFIG, played, heard, cond, target)]
    again = [logits[:, -1] for logits in forward(params, CONFIG, other, heard, cond, target)]
    np.testing.assert_allclose(last[0], again[0], atol=1e-5)


def test_a_stream_goes_on_after_its_frame_counter_has_turned_over(params):
    cycle = int(np.lcm(CONFIG.window, CONFIG.period))
    row, first = generate(params, init_row(CONFIG), 25)
    late = {**row, "frame": row["frame"] + cycle * ((2 * cycle - 5 - 25) // cycle)}
    _, soon = generate(params, row, 2 * cycle, start=25, played=first[-1])
    _, later = generate(params, late, 2 * cycle, start=25, played=first[-1])
    np.testing.assert_array_equal(soon, later)


def test_a_state_that_was_kept_goes_on_as_if_never_stopped(params):
    _, whole = generate(params, init_row(CONFIG), 40)
    row, first = generate(params, init_row(CONFIG), 23)
    kept = jax.tree.map(lambda array: jnp.asarray(np.array(array)), row)
    _, second = generate(params, kept, 17, start=23, played=first[-1])
    np.testing.assert_array_equal(whole, np.concatenate([first, second]))


def test_equal_seeds_give_equal_tokens_and_others_do_not(params):
    one, two, three = (generate(params, init_row(CONFIG), 20, seed=seed)[1] for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert (one != three).any()


def test_temperature_zero_and_one_code_allowed_are_both_greedy(params):
    _, cold = generate(params, init_row(CONFIG), 20, temperature=0.0, top_k=CONFIG.codebook)
    _, single = generate(params, init_row(CONFIG), 20, temperature=1.0, top_k=1)
    np.testing.assert_array_equal(cold, single)


def test_deeper_levels_are_chosen_more_soberly():
    """The spread of the noise falls with the level as SOBER says, to nothing, and no further."""
    config = LMConfig(levels=12, codebook=64)
    frames = jax.vmap(lambda frame: sampling_noise(config, 1, frame))(jnp.arange(300))
    spread = np.asarray(frames).std(axis=(0, 2)) / (np.pi / 6**0.5)
    np.testing.assert_allclose(spread, np.maximum(0.0, 1.0 - SOBER * np.arange(12)), atol=0.02)


def test_guidance_of_nothing_changes_nothing(params):
    _, plain = generate(params, init_row(CONFIG), 20)
    for guidance in ([0.0], [3.0], [3.0, 1.0]):  # no row has a condition: there is nothing to be guided by
        np.testing.assert_array_equal(generate(params, init_row(CONFIG), 20, guidance=guidance)[1], plain)


def test_guidance_moves_each_level_by_its_own_weight(params):
    """The likeliest codes, held against the formula, each level with the codes that were chosen before it."""
    played, heard, cond, _ = example(batch=2, frames=1)
    given = {"played": played[:1, 0], "heard": heard[:, 0], "cond": 3 * cond[:, 0]}
    noise, rows = NOISE(1, 0)[None], [init_row(CONFIG), init_row(CONFIG)]
    still = {"temperature": np.float32([0.0]), "top_k": np.int32([CONFIG.codebook])}
    weights = np.float32([4.0, 0.0, 6.0, 0.0])
    _, codes = STEP(by_level(params), rows=rows, noise=noise, guidance=weights[None, None], **given, **still)
    both = np.concatenate([played[:1, 0]] * 2), heard[:, 0], 3 * cond[:, 0], np.concatenate([codes] * 2)
    _, logits = frame_logits(by_level(params), rows, *both)
    weights = np.pad(weights, (0, CONFIG.levels))
    plain = [int(np.argmax(steered)) for steered, _ in logits]
    guided = [
        int(np.argmax(steered + w * (steered - free))) for (steered, free), w in zip(logits, weights, strict=False)
    ]
    moved = [a != b for a, b in zip(plain, guided, strict=True)]
    assert moved == [w > 0 for w in weights[: CONFIG.levels]]  # so that either can be told
    assert codes[0].tolist() == guided


PARTS = {
    "style": np.full(128, 128**-0.5, np.float32),
    "clock": Clock(bpm=100, beat=1.5),
    "chord": Chord(root=7, quality="min7"),
    "notes": frozenset({60, 67}),
    "drums": False,
    "energy": -25.0,
    "density": 3.0,
}


def test_what_is_masked_is_as_if_it_were_absent():
    assert not condition(Controls()).any()
    parts = np.stack([condition(Controls(**{name: value})) for name, value in PARTS.items()])
    np.testing.assert_array_equal(condition(Controls(**PARTS)), parts.sum(axis=0))
    assert (parts != 0).sum(axis=0).max() == 1
    assert (parts != 0).any(axis=1).all()


def test_notes_of_all_octaves_are_known_and_those_that_begin_are_told_apart():
    for pitch in range(128):
        held = condition(Controls(notes=frozenset({pitch})))
        begun = condition(Controls(notes=frozenset({pitch})), begun=[pitch])
        assert np.count_nonzero(held) == 2
        assert np.count_nonzero(begun) == 3
    low, high = (condition(Controls(notes=frozenset({pitch}))) for pitch in (12, 24))
    np.testing.assert_array_equal(low, high)


def test_a_style_or_chord_of_another_kind_is_answered():
    with pytest.raises(ValueError, match="shape"):
        condition(Controls(style=np.ones(64, np.float32)))
    with pytest.raises(ValueError, match="quality"):
        condition(Controls(chord=Chord(root=0, quality="sus13")))
