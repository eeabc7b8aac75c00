"""Magenta RealTime 2 by frames is what it is over the whole sequence, and noise depends on seed and frame alone."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import mrt2_models as models
import numpy as np
import pytest
from numpy.typing import NDArray

from jackdaw.engine.models import mrt2_conditioning as conditioning
from jackdaw.engine.models import mrt2_depthformer as depthformer
from jackdaw.engine.models import mrt2_sampler as sampler

CONFIG, FRAMES = models.REDUCED, 40


@pytest.fixture(scope="module")
def params() -> Any:
    return jax.tree.map(jnp.asarray, models.network("reduced")[1])


@pytest.fixture(scope="module")
def stream() -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    generator = np.random.default_rng(8)
    codes = generator.integers(0, CONFIG.codebook, (FRAMES, CONFIG.levels))
    return models.before(codes), generator.normal(size=(FRAMES, CONFIG.condition_width)).astype(np.float32)


step = jax.jit(partial(depthformer.advance, config=CONFIG))
whole = jax.jit(partial(depthformer.temporal, config=CONFIG))


def stepped(params: Any, codes: NDArray[np.int32], told: NDArray[np.float32], state: Any = None) -> tuple[Any, Any]:
    state, found = state or depthformer.init(CONFIG), []
    for before, known in zip(codes, told, strict=True):
        state, outlook = step(params["decoder"], state=state, codes=before[None], conditioning=known[None])
        found.append(np.asarray(outlook)[0])
    return state, np.stack(found)


def test_steps_give_what_the_whole_sequence_does(params: Any, stream: Any) -> None:
    codes, told = stream
    assert len(codes) > 3 * (CONFIG.window + 1)
    offline = np.asarray(whole(params["decoder"], codes=codes[None], conditioning=told[None]))[0]
    _, online = stepped(params, codes, told)
    np.testing.assert_allclose(online, offline, atol=2e-5)


@pytest.mark.parametrize("stop", [1, CONFIG.window, CONFIG.window + 1, 2 * CONFIG.window + 2, FRAMES - 1])
def test_a_stream_that_was_kept_goes_on_bit_by_bit(params: Any, stream: Any, stop: int) -> None:
    codes, told = stream
    last, through = stepped(params, codes, told)
    kept, first = stepped(params, codes[:stop], told[:stop])
    end, second = stepped(params, codes[stop:], told[stop:], jax.tree.map(np.array, kept))
    np.testing.assert_array_equal(np.concatenate([first, second]), through)
    jax.tree.map(np.testing.assert_array_equal, end, last)


@pytest.mark.parametrize("stop", [2, CONFIG.window + 1, 2 * CONFIG.window + 5, FRAMES - 3])
@pytest.mark.parametrize("back", [1, 2, depthformer.SPARE])
def test_frames_that_were_taken_back_leave_nothing(params: Any, stream: Any, stop: int, back: int) -> None:
    codes, told = stream
    back = min(back, stop)
    _, through = stepped(params, codes, told)
    state, _ = stepped(params, codes[:stop], told[:stop])
    for _ in range(2):  # once and again, as whoever goes on playing does
        state = depthformer.rewound(state, back)
        state, _ = stepped(params, codes[stop - back : stop][::-1], told[:back], state)
    _, again = stepped(params, codes[stop - back :], told[stop - back :], depthformer.rewound(state, back))
    np.testing.assert_array_equal(again, through[stop - back :])


def test_what_left_every_window_is_forgotten(params: Any, stream: Any) -> None:
    codes, told = stream
    reach = CONFIG.window * CONFIG.temporal.layers
    assert reach + 2 < FRAMES
    others = codes.copy()
    others[1] = (codes[1] + 1) % CONFIG.codebook
    one, other = (
        np.asarray(whole(params["decoder"], codes=c[None], conditioning=told[None]))[0] for c in (codes, others)
    )
    assert np.array_equal(one[0], other[0])
    assert not np.array_equal(one[1 + reach], other[1 + reach])
    np.testing.assert_array_equal(one[2 + reach :], other[2 + reach :])


def test_rows_do_not_see_each_other(params: Any, stream: Any) -> None:
    codes, told = stream
    alone = whole(params["decoder"], codes=codes[None], conditioning=told[None])
    both = whole(params["decoder"], codes=np.stack([codes, codes[::-1]]), conditioning=np.stack([told, told[::-1]]))
    np.testing.assert_allclose(both[:1], alone, atol=2e-5)


def test_levels_give_what_the_whole_frame_does(params: Any, stream: Any) -> None:
    codes = jnp.asarray(stream[0][1:3])
    outlook = jnp.asarray(np.random.default_rng(1).normal(size=(2, CONFIG.temporal.width)), jnp.float32)

    @jax.jit
    def by_level(params: Any, x: jax.Array) -> jax.Array:
        coarser: depthformer.Coarser = ()
        found = []
        for level in range(CONFIG.levels):
            coarser, logits = depthformer.depth_step(params, coarser, x, level)
            found.append(logits)
            x = depthformer.embedded(params, CONFIG, codes[:, level : level + 1], level)[:, 0]
        return jnp.stack(found, axis=1)

    offline = jax.jit(partial(depthformer.depth, config=CONFIG))(params["decoder"], outlook=outlook, codes=codes)
    np.testing.assert_allclose(by_level(params["decoder"], outlook), offline, atol=2e-5)


def test_noise_is_a_function_of_seed_and_frame() -> None:
    noise = sampler.sampling_noise(CONFIG, 3, 17)
    np.testing.assert_array_equal(noise, sampler.sampling_noise(CONFIG, 3, 17))
    assert not np.array_equal(noise, sampler.sampling_noise(CONFIG, 3, 18))
    assert not np.array_equal(noise, sampler.sampling_noise(CONFIG, 4, 17))
    assert noise.shape == (CONFIG.levels, CONFIG.codebook)


def test_no_code_outside_top_k_and_top_p_is_chosen() -> None:
    logits = jnp.asarray(np.random.default_rng(2).normal(size=(1, 64)), jnp.float32)
    order = np.argsort(-np.asarray(logits[0]))
    many = jax.jit(jax.vmap(sampler.choose, (None, 0, None, None, None)))
    noise = jax.random.gumbel(jax.random.key(0), (2000, 64))
    chosen = many(logits, noise, jnp.float32(2.0), jnp.int32(5), jnp.float32(1.0))
    assert set(np.unique(chosen)) == set(order[:5])
    probability = np.asarray(jax.nn.softmax(logits[0]))[order]
    kept = order[: int(np.sum(np.cumsum(probability) < 0.5)) + 1]
    chosen = many(logits, noise, jnp.float32(2.0), jnp.int32(64), jnp.float32(0.5))
    assert set(np.unique(chosen)) == set(kept)
    assert set(np.unique(many(logits, noise, jnp.float32(0.0), jnp.int32(64), jnp.float32(1.0)))) == {order[0]}


def test_what_is_masked_is_absent() -> None:
    absent = conditioning.channels(CONFIG)
    np.testing.assert_array_equal(absent, conditioning.channels(CONFIG, style=[conditioning.MASKED] * 4))
    np.testing.assert_array_equal(absent, conditioning.channels(CONFIG, notes=()))
    full = conditioning.channels(CONFIG, style=[3, 2, 1, 0], notes={60}, drums=True)
    for what in ("style", "notes", "drums"):
        full = conditioning.masked(CONFIG, full, what)
    np.testing.assert_array_equal(absent, full)


def roll(**given: Any) -> dict[int, int]:
    """Return the values of the pitches that are not masked."""
    values = conditioning.channels(CONFIG, **given)[CONFIG.style_levels : CONFIG.style_levels + 128] - 7
    return {int(pitch): int(values[pitch]) for pitch in np.flatnonzero(values >= 0)}


def test_notes_are_told_as_the_player_wants() -> None:
    assert roll(notes={60}) == {60: 3}
    assert roll(notes={60, 64}, unmask=1) == {59: 0, 60: 3, 61: 0, 63: 0, 64: 3, 65: 0}
    assert roll(notes={60}, begun={60}, onsets=True) == {60: 2}
    assert roll(notes={60, 62}, begun={62}, onsets=True, unmask=1) == {59: 0, 60: 1, 61: 0, 62: 2, 63: 0}
    assert roll(notes={0, 127}, unmask=1) == {0: 3, 1: 0, 126: 0, 127: 3}
    assert roll(notes=(), unmask=127) == dict.fromkeys(range(128), 0)
    assert len(roll(notes={5}, unmask=127)) == 128


@pytest.mark.parametrize("given", [{"notes": {128}}, {"notes": {-1}}, {"style": [64]}, {"style": [0] * 5}])
def test_what_is_out_of_range_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="0 to"):
        conditioning.channels(CONFIG, **given)
