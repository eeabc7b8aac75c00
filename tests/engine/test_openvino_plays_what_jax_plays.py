"""By OpenVINO the model says what it says by JAX: the same logits, codes and sound; compressed weights stay close."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mrt2_small_sizes import CONFIG, FRAMES, params, played

from jackdaw.engine.models import mrt2_depthformer as depthformer
from jackdaw.engine.models import spectrostream
from jackdaw.engine.models.mrt2_conditioning import condition
from jackdaw.engine.models.mrt2_sampler import sample_frame
from jackdaw.engine.runtime.openvino_decoder import Decoder
from jackdaw.engine.runtime.openvino_encoder import Encoder
from jackdaw.engine.runtime.openvino_graph import Precision
from jackdaw.engine.runtime.openvino_lm import AT_ONCE, LanguageModel
from jackdaw.engine.weights.mrt2_shapes import encoder_shapes
from jackdaw.engine.weights.random_mrt2 import random_tree

TEMPERATURE, TOP_K = 1.3, 40


@pytest.fixture(scope="module")
def jax_logits() -> np.ndarray:
    """Of all frames, their codes being known: (frames, levels, codebook)."""
    rows, codes, _noise = played()
    decoder = depthformer.prepared(params()["depthformer"]["decoder"], CONFIG)
    told = condition(params()["depthformer"]["encoder"], CONFIG, jnp.asarray(rows))
    before = np.concatenate([np.full_like(codes[:1], depthformer.NOTHING), codes[:-1]])
    outlooks = depthformer.temporal(decoder, CONFIG, jnp.asarray(before)[None], told[None])[0]
    return np.asarray(depthformer.depth(decoder, CONFIG, outlooks, jnp.asarray(codes)))


def forced_logits(model: LanguageModel, together: int = 1) -> np.ndarray:
    """Of the frames that end a pass of `together` frames."""
    rows, codes, noise = played()
    past, found = model.past(), []
    before = np.concatenate([np.full_like(codes[:1], depthformer.NOTHING), codes[:-1]])
    for frame in range(FRAMES):
        if frame % together < together - 1:
            past = model.take_in(past, before[frame], rows[frame])
            continue
        given = past, before[frame], rows[frame], noise[frame], TEMPERATURE, TOP_K
        past, said = model.choose(*given, forced=codes[frame])
        assert np.array_equal(said, codes[frame])
        found.append(model.logits())
    return np.stack(found)


@pytest.fixture(scope="module")
def exact() -> LanguageModel:
    return LanguageModel(params(), CONFIG, weights="f32")


@pytest.mark.parametrize("together", range(1, AT_ONCE + 2))
def test_logits_are_those_of_jax(exact: LanguageModel, jax_logits: np.ndarray, together: int) -> None:
    """One frame a pass, and frames that wait for each other."""
    assert np.abs(forced_logits(exact, together) - jax_logits[together - 1 :: together]).max() <= 1e-3


@pytest.mark.parametrize(("weights", "decibels"), [("bf16", 40), ("int8", 25), ("int4", 4)])
def test_compressed_weights_stay_close(jax_logits: np.ndarray, weights: Precision, decibels: float) -> None:
    """Random weights are the hardest to compress: nothing about them can be told by fewer bits."""
    wrong = forced_logits(LanguageModel(params(), CONFIG, weights=weights)) - jax_logits
    assert 10 * np.log10(np.square(jax_logits).sum() / np.square(wrong).sum()) > decibels


@pytest.fixture(scope="module")
def jax_step() -> Any:
    weights = jax.tree.map(jnp.asarray, params()["depthformer"])
    decoder = depthformer.prepared(weights["decoder"], CONFIG)

    def step(decoder: Any, encoder: Any, state: Any, codes: Any, row: Any, noise: Any, limits: Any) -> Any:
        told = condition(encoder, CONFIG, row)
        state, outlook = depthformer.advance(decoder, CONFIG, state, codes[None], told[None])
        return state, sample_frame(decoder, CONFIG, outlook, noise, *limits, jnp.float32(1))

    return partial(jax.jit(step), jax.tree.map(jnp.asarray, decoder), weights["encoder"])


@pytest.mark.parametrize(
    ("temperature", "top_k"), [(0.0, 1), (0.0, 40), (TEMPERATURE, TOP_K), (4.0, 1), (1.0, CONFIG.codebook)]
)
def test_equal_noise_chooses_equal_codes(exact: LanguageModel, jax_step: Any, temperature: float, top_k: int) -> None:
    rows, _codes, noise = played()
    limits = jnp.float32(temperature), jnp.int32(top_k)
    past, ours = exact.past(), np.full(CONFIG.levels, depthformer.NOTHING, np.int32)
    theirs, codes = depthformer.init(CONFIG), jnp.asarray(ours)
    for frame in range(FRAMES):
        past, ours = exact.choose(past, ours, rows[frame], noise[frame], temperature, top_k)
        theirs, codes = jax_step(theirs, codes, jnp.asarray(rows[frame]), jnp.asarray(noise[frame]), limits)
        assert np.array_equal(ours, codes), f"frame {frame}"


def test_what_cannot_be_chosen_from_is_refused(exact: LanguageModel) -> None:
    rows, codes, noise = played(1)
    for top_k in (0, CONFIG.codebook + 1):
        with pytest.raises(ValueError, match="top_k"):
            exact.choose(exact.past(), codes[0], rows[0], noise[0], 1.0, top_k)
    for call in (exact.take_in, partial(exact.choose, noise=noise[0], temperature=1.0, top_k=40)):
        with pytest.raises(ValueError, match="row"):
            call(exact.past(), codes[0], rows[0][:-1])


@pytest.fixture(scope="module")
def jax_sound() -> np.ndarray:
    """Of whole sequences: (samples of all frames but the last, 2)."""
    codec = params()["soundstream"]
    embedding = codec["quantizer"]["embedding"][np.arange(CONFIG.levels), played()[1]].sum(1)
    return np.asarray(jax.jit(spectrostream.decode)(codec["decoder"], embedding))


def streamed_sound(codes: np.ndarray, precision: Any) -> np.ndarray:
    stream = Decoder(params(), CONFIG.levels, precision=precision)
    state, sound = stream.init(), []
    for frame in codes:
        stream.start(stream.enter(state, frame))
        state, audio = stream.finish()
        sound.append(audio)
    return np.concatenate(sound)


def test_sound_is_that_of_the_whole_sequence_a_frame_later(jax_sound: np.ndarray) -> None:
    sound = streamed_sound(played()[1], "f32")
    assert sound.shape == (1920 * FRAMES, 2)
    assert not sound[:1920].any()
    assert np.abs(sound[1920:] - jax_sound).max() <= 1e-5 * np.abs(jax_sound).max()


def test_half_the_bits_in_the_codec_cost_what_is_told(jax_sound: np.ndarray) -> None:
    wrong = streamed_sound(played()[1], "bf16")[1920:] - jax_sound
    assert 10 * np.log10(np.square(jax_sound).sum() / np.square(wrong).sum()) > 30


def test_what_is_heard_has_the_codes_of_jax() -> None:
    tree = random_tree(encoder_shapes(width=8)) | params()
    sound = 0.1 * np.random.default_rng(0).standard_normal((1920 * FRAMES, 2)).astype(np.float32)
    step = jax.jit(spectrostream.encode_step)
    ears = Encoder(tree, CONFIG.levels)
    past, theirs = ears.encoder(), spectrostream.encode_init(tree["encoder"])
    for frame in np.split(sound, FRAMES):
        past, codes = ears.encode(past, frame)
        theirs, embedding = step(tree["encoder"], theirs, frame)
        books = tree["soundstream"]["quantizer"]["embedding"]
        assert np.array_equal(codes, spectrostream.quantise(books, embedding, CONFIG.levels)[0])
    with pytest.raises(ValueError, match="audio"):
        ears.encode(past, sound[:100])
