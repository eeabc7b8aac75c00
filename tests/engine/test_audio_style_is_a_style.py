"""An audio prompt becomes a point of the same sphere as words; what cannot be heard is answered."""

import numpy as np
import pytest

from jackdaw.engine.models.tiny_style import SAMPLE_RATE, embed_audio
from jackdaw.engine.weights.registry import MODELS
from jackdaw.engine.weights.tensors import read_tree


@pytest.fixture(scope="module")
def embed():
    tower = read_tree(MODELS["tiny"].weight_files()[0].parent / "tiny_style.safetensors")[0]["audio"]
    return lambda audio: embed_audio(tower, audio)


def chord(seconds, gain=0.1):
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = sum(np.sin(2 * np.pi * pitch * time) for pitch in (220, 277, 330)) * np.exp(-3 * (time % 0.5))
    return np.repeat(gain * tone[:, None], 2, axis=1).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.1, 0.5, 3.21, 12.0])
def test_any_length_of_sound_is_a_point_on_the_sphere(embed, seconds):
    style = embed(chord(seconds))
    assert style.shape == (128,)
    assert style.dtype == np.float32
    assert np.isclose(np.linalg.norm(style), 1.0, atol=1e-5)


def test_loudness_and_channels_do_not_matter(embed):
    loud, soft = chord(4.0, 0.3), chord(4.0, 0.003)
    np.testing.assert_allclose(embed(loud), embed(soft), atol=1e-3)
    np.testing.assert_array_equal(embed(loud), embed(loud[:, :1]))


def test_only_the_first_ten_seconds_count(embed):
    long = chord(14.0)
    np.testing.assert_array_equal(embed(long), embed(long[: 10 * SAMPLE_RATE]))


@pytest.mark.parametrize("audio", [np.zeros((48000, 2), np.float32), np.full((48000, 2), np.nan, np.float32)])
def test_silence_is_answered(embed, audio):
    with pytest.raises(ValueError, match="silent"):
        embed(audio)


@pytest.mark.parametrize("samples", [0, 100])
def test_too_short_a_prompt_is_answered(embed, samples):
    with pytest.raises(ValueError, match="give at least"):
        embed(np.full((samples, 2), 0.1, np.float32))
