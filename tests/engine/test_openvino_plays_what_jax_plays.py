"""By OpenVINO the model says what it says by JAX: the same logits, codes and sound; compressed weights stay close."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from mrt2_small_sizes import CONFIG, FRAMES, params, played

from jackdaw.engine.models import mrt2_depthformer as depthformer
from jackdaw.engine.models.mrt2_conditioning import condition
from jackdaw.engine.models.mrt2_sampler import sample_frame
from jackdaw.engine.runtime.openvino_decoder import Decoder
from jackdaw.engine.runtime.openvino_graph import Precision
from jackdaw.engine.runtime.openvino_lm import AT_ONCE, LanguageModel

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


def _convolved(x: jax.Array, part: Any, stretch: tuple[int, int] = (1, 1)) -> jax.Array:
    kernel = part["conv"]["kernel"]
    taps, bins = kernel.shape[:2]
    around = [(bins - 1) // 2, bins // 2]
    if stretch != (1, 1):
        around = [-(-(bins + stretch[1] - 2) // 2), (bins + stretch[1] - 2) // 2]
    y = jax.lax.conv_general_dilated(
        x,
        kernel,
        (1, 1),
        [(taps - 1, stretch[0] - 1), around],
        lhs_dilation=stretch,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )
    return y + part["conv"]["bias"]


def offline_sound(codes: np.ndarray) -> np.ndarray:
    """Decode whole sequences, as the pages on the codec say: (samples of all frames but the last, 2)."""
    codec, elu = params()["soundstream"], jax.nn.elu
    x = codec["quantizer"]["embedding"][np.arange(codes.shape[1]), codes].sum(1)[None, :, None]
    first = codec["decoder"]["input_layer"]
    beside = _convolved(
        elu(_convolved(x, first["shortcut_layer"]["conv1x1_b1"])), first["shortcut_layer"]["conv1x1_b2"]
    )
    x = (_convolved(x, first["conv1x1_first"]) + beside).reshape(1, len(codes), 5, -1)
    unit = codec["decoder"]["input_layers_residual_unit"]
    x = x + _convolved(elu(_convolved(elu(x), unit["conv2d_3x3_a"])), unit["conv2d_3x3"])
    for index, stretch in enumerate([(2, 1), (2, 2), (1, 2), (1, 2), (1, 3), (1, 2), (1, 2)]):
        unit = codec["decoder"][f"decoder_{index}"]
        (name,) = (name for name in unit if "transpose" in name)
        y = _convolved(elu(_convolved(elu(x), unit[name], stretch)), unit["conv2d_3x3"])
        x = _convolved(x, unit["shortcut_layer"]["conv1x1"]) if "shortcut_layer" in unit else x
        x = jnp.repeat(jnp.repeat(x, stretch[0], 1), stretch[1], 2) + y
        x = jnp.concatenate(jnp.split(x, 2, -1)) if index == 0 else x
    spectrum = np.asarray(_convolved(elu(x), codec["decoder"]["output_layer"]["base_conv_last"]))[:, 4:]
    spectrum = np.pad(spectrum, ((0, 0), (0, 0), (0, 1), (0, 0)))
    hann = np.sin(np.pi * np.arange(960) / 960) ** 2
    windows = np.fft.irfft(spectrum[..., 0] + 1j * spectrum[..., 1]) * hann / (hann**2 + np.roll(hann, 480) ** 2)
    sound = np.zeros((2, 480 * (windows.shape[1] + 1)))
    for index in range(windows.shape[1]):
        sound[:, 480 * index : 480 * index + 960] += windows[:, index]
    return sound[:, :-480].T


def streamed_sound(codes: np.ndarray, precision: Any) -> np.ndarray:
    stream = Decoder(params(), CONFIG.levels, precision=precision)
    state, sound = stream.init(), []
    for frame in codes:
        stream.start(stream.enter(state, frame))
        state, audio = stream.finish()
        sound.append(audio)
    return np.concatenate(sound)


def test_sound_is_that_of_the_whole_sequence_a_frame_later() -> None:
    codes = played()[1]
    whole = offline_sound(codes)
    sound = streamed_sound(codes, "f32")
    assert sound.shape == (1920 * FRAMES, 2)
    assert not sound[:1920].any()
    assert np.abs(sound[1920:] - whole).max() <= 1e-5 * np.abs(whole).max()


def test_half_the_bits_in_the_codec_cost_what_is_told() -> None:
    codes = played()[1]
    whole = offline_sound(codes)
    wrong = streamed_sound(codes, "bf16")[1920:] - whole
    assert 10 * np.log10(np.square(whole).sum() / np.square(wrong).sum()) > 30
