"""With equal weights, SpectroStream here embeds, quantises and decodes as the reference does, and streams exactly.

Weights are random, so this says that the arithmetic is the same, not how the music sounds.
"""

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from jackdaw.engine.models import spectrostream as codec
from jackdaw.engine.weights.mrt2_shapes import decoder_shapes, encoder_shapes, quantizer_shapes
from jackdaw.engine.weights.random_mrt2 import random_tree

GOLDENS = Path(__file__).parent / "goldens"
SIZES = {"narrow": (4, 8, 20), "full": (32, 64, 4)}
LEVELS, STORED, EVERY, CLOSE = 12, 64, 7, 1e-5

encode, decode = jax.jit(codec.encode), jax.jit(codec.decode)
encode_step, decode_step = jax.jit(codec.encode_step), jax.jit(codec.decode_step)


@cache
def network(name: str) -> dict[str, Any]:
    """Return ``encoder``, ``decoder`` and ``books``."""
    encoder, decoder, _ = SIZES[name]
    shapes = encoder_shapes(encoder) | decoder_shapes(decoder, root="params/decoder")
    tree = random_tree(shapes | quantizer_shapes(root="params/quantizer"), seed=1)
    return {
        "encoder": tree["encoder"],
        "decoder": tree["decoder"],
        "books": jnp.asarray(tree["quantizer"]["embedding"]),
    }


def sound(frames: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(4).normal(size=(frames * codec.FRAME, 2))
    return (0.3 * noise * np.sin(np.arange(len(noise)) / 9000.0)[:, None] ** 2).astype(np.float32)


def far(found: Any, wanted: Any) -> float:
    """Largest difference beside the largest value."""
    return float(np.max(np.abs(np.asarray(found) - wanted)) / np.max(np.abs(wanted)))


@pytest.fixture(params=sorted(SIZES))
def size(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def golden(size: str) -> dict[str, NDArray[Any]]:
    with np.load(GOLDENS / f"spectrostream_{size}.npz") as file:
        return {key: file[key] for key in file.files}


def test_sound_is_embedded_alike(size: str, golden: dict[str, NDArray[Any]]) -> None:
    assert far(encode(network(size)["encoder"], sound(SIZES[size][2])), golden["embedding"]) <= CLOSE


def test_embeddings_have_the_same_codes(size: str, golden: dict[str, NDArray[Any]]) -> None:
    codes = codec.quantise(network(size)["books"], jnp.asarray(golden["embedding"]), STORED)
    np.testing.assert_array_equal(codes, golden["codes"])


def test_codes_sound_alike(size: str, golden: dict[str, NDArray[Any]]) -> None:
    codes = jnp.asarray(golden["codes"][:, :LEVELS], jnp.int32)
    embedding = codec.dequantise(network(size)["books"], codes)
    found = decode(network(size)["decoder"], embedding)
    assert len(found) == golden["samples"] == (len(codes) - 1) * codec.FRAME
    assert far(found[::EVERY], golden["sound"]) <= CLOSE


def test_of_equally_near_vectors_the_first_is_taken() -> None:
    books = jnp.asarray([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [[0.5, 0.0], [0.0, 0.5], [0.5, 0.0]]])
    np.testing.assert_array_equal(codec.quantise(books, jnp.asarray([[1.5, 0.0], [0.5, 0.5]]), 2), [[0, 0], [0, 1]])


def stepped(step: Any, params: Any, state: Any, given: Any, cuts: list[int]) -> tuple[Any, NDArray[np.float32]]:
    found, at = [], 0
    for cut in cuts:
        state, made = step(params, state, given[at : at + cut])
        found.append(np.asarray(made))
        at += cut
    return state, np.concatenate(found)


@pytest.mark.parametrize("cuts", [[1, 1, 1], [1, 2]])
def test_streams_do_not_depend_on_the_split(cuts: list[int]) -> None:
    params, audio = network("narrow"), sound(3)
    whole = stepped(encode_step, params["encoder"], codec.encode_init(params["encoder"]), audio, [3 * codec.FRAME])[1]
    frames = [cut * codec.FRAME for cut in cuts]
    parts = stepped(encode_step, params["encoder"], codec.encode_init(params["encoder"]), audio, frames)[1]
    assert far(parts, whole) <= CLOSE
    sounding = stepped(decode_step, params["decoder"], codec.decode_init(params["decoder"]), whole, [3])[1]
    parts = stepped(decode_step, params["decoder"], codec.decode_init(params["decoder"]), whole, cuts)[1]
    assert far(parts, sounding) <= CLOSE


def test_a_recording_is_a_stream_without_the_delays() -> None:
    params, audio = network("narrow"), sound(20)
    begun = {**codec.encode_init(params["encoder"]), "samples": audio[: codec.AHEAD]}
    rest = np.concatenate([audio[codec.AHEAD :], np.zeros((codec.AHEAD, 2), np.float32)])
    _, embedding = encode_step(params["encoder"], begun, rest)
    assert far(embedding, encode(params["encoder"], audio)) <= CLOSE
    _, sounding = decode_step(params["decoder"], codec.decode_init(params["decoder"]), embedding)
    assert not np.any(sounding[: codec.FRAME])
    assert far(sounding[codec.FRAME :], decode(params["decoder"], embedding)) <= CLOSE


def test_a_stream_that_was_kept_goes_on_bit_by_bit() -> None:
    params, audio = network("narrow"), sound(20)
    for step, begun, given, frame in (
        (encode_step, codec.encode_init(params["encoder"]), audio[: 12 * codec.FRAME], codec.FRAME),
        (decode_step, codec.decode_init(params["decoder"]), encode(params["encoder"], audio)[:12], 1),
    ):
        network_params = params["encoder"] if frame > 1 else params["decoder"]
        through = stepped(step, network_params, begun, given, [frame] * 12)[1]
        kept, first = stepped(step, network_params, begun, given, [frame] * 5)
        kept = jax.tree.map(np.array, kept)
        _, second = stepped(step, network_params, kept, given[5 * frame :], [frame] * 7)
        np.testing.assert_array_equal(np.concatenate([first, second]), through)


def test_the_encoder_looks_480_samples_ahead_and_no_further() -> None:
    params, audio = network("narrow")["encoder"], sound(20)
    plain = np.asarray(encode(params, audio))
    last, beyond = audio.copy(), audio.copy()
    last[3 * codec.FRAME + codec.AHEAD - 1] += 0.5
    beyond[3 * codec.FRAME + codec.AHEAD] += 0.5
    assert not np.array_equal(np.asarray(encode(params, last))[2], plain[2])
    np.testing.assert_array_equal(np.asarray(encode(params, beyond))[:3], plain[:3])


def test_the_decoder_looks_a_frame_ahead_and_no_further() -> None:
    params = network("narrow")["decoder"]
    embedding = np.asarray(encode(network("narrow")["encoder"], sound(20)))
    plain = np.asarray(decode(params, embedding))
    after = {}
    for frame in (4, 5):
        other = embedding.copy()
        other[frame] += 0.3
        after[frame] = np.asarray(decode(params, other))
    third = slice(3 * codec.FRAME, 4 * codec.FRAME)
    assert not np.array_equal(after[4][third], plain[third])
    np.testing.assert_array_equal(after[5][: third.stop], plain[: third.stop])
