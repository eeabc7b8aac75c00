"""A blend of prompts is their weighted mean at unit length, however many there are."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jackdaw.audio import Waveform
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.prompts import MAX_PROMPTS, Embedder, Prompt, blend, parse_prompt, scaled, style_of


def units(count: int, seed: int = 0) -> "list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]":
    vectors = np.random.default_rng(seed).normal(size=(count, 8))
    return [np.asarray(vector / np.linalg.norm(vector), np.float32) for vector in vectors]


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.integers(0, 99))
def test_a_blend_points_where_the_weighted_mean_points(weights: list[float], seed: int) -> None:
    styles = units(len(weights), seed)
    mean = sum(weight * style.astype(np.float64) for weight, style in zip(weights, styles, strict=True))
    result = blend(styles, weights)
    assert result.dtype == np.float32
    assert np.linalg.norm(result) == pytest.approx(1.0, abs=1e-6)
    assert result == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_the_number_of_prompts_does_not_shorten_the_blend() -> None:
    style = units(1)[0]
    assert blend([style] * 5, [1.0] * 5) == pytest.approx(style, abs=1e-6)


def test_only_proportions_of_weights_matter() -> None:
    styles = units(3)
    assert np.array_equal(blend(styles, [1, 2, 4]), blend(styles, [0.25, 0.5, 1.0]))


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -1.0], [1.0, float("nan")], [1.0], []])
def test_senseless_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights"):
        blend(units(2), weights)


def test_styles_that_cancel_are_refused() -> None:
    style = units(1)[0]
    with pytest.raises(ValueError, match="cancel"):
        blend([style, -style], [1.0, 1.0])


@pytest.mark.parametrize(
    ("argument", "text", "weight"),
    [("disco", "disco", 1.0), ("disco:0.7", "disco", 0.7), ("key: c", "key: c", 1.0), ("a:b:2", "a:b", 2.0)],
)
def test_prompts_are_read_from_the_command_line(argument: str, text: str, weight: float) -> None:
    assert parse_prompt(argument) == Prompt(text=text, weight=weight)
    assert parse_prompt(argument, audio=True) == Prompt(audio=text, weight=weight)


@pytest.mark.parametrize("argument", ["", " ", " :1", "disco:-1", "disco:1001", "disco:nan"])
def test_bad_prompts_are_refused(argument: str) -> None:
    with pytest.raises(ValueError, match=r"prompt"):
        parse_prompt(argument)


def test_prompts_without_weight_leave_the_model_free() -> None:
    embedder = Embedder(Beep())
    assert style_of(embedder.embed([])) is None
    assert style_of(embedder.embed([Prompt(text="disco", weight=0.0)])) is None
    half = embedder.embed([Prompt(text="disco"), Prompt(text="rock", weight=0.0)])
    assert style_of(half) == pytest.approx(Beep().embed("disco"))
    with pytest.raises(ValueError, match="at most"):
        embedder.embed([Prompt(text="disco")] * (MAX_PROMPTS + 1))


def test_weights_above_one_are_scaled_so_that_the_largest_is_one() -> None:
    given = [Prompt(text="a", weight=4.0), Prompt(text="b", weight=1.0), Prompt(text="c", weight=0.0)]
    assert [prompt.weight for prompt in scaled(given)] == [1.0, 0.25, 0.0]
    assert scaled(given[1:]) == given[1:]


def test_an_embedding_of_the_same_weights_is_used_and_of_others_is_not() -> None:
    kept = Beep().embed("rock")
    embedder = Embedder(Beep(), "1234")
    same = embedder.embed([Prompt(text="disco", embedding=kept, model_hash="1234")])[0]
    assert same.embedding is not None
    assert np.array_equal(same.embedding, kept)
    other = embedder.embed([Prompt(text="disco", embedding=kept, model_hash="5678")])[0]
    assert other.embedding is not None
    assert np.array_equal(other.embedding, Beep().embed("disco"))
    assert other.model_hash == "1234"
    with pytest.raises(ValueError, match="unit length"):
        embedder.embed([Prompt(text="disco", embedding=kept[:3], model_hash="1234")])


def test_samples_are_a_prompt_as_a_file_is() -> None:
    sound = np.sin(np.arange(48000) / 9).astype(np.float32)[:, None]
    prompt = Embedder(Beep()).embed([Prompt(samples=sound, rate=48000, name="hum")])[0]
    assert prompt.name == "hum"
    assert prompt.embedding is not None
    assert np.array_equal(prompt.embedding, Beep().embed(np.repeat(sound, 2, axis=1)))
    for wrong in ({"samples": sound}, {"samples": sound[:, 0], "rate": 48000}, {"text": "a", "audio": "b"}, {}):
        with pytest.raises(ValueError, match="prompt"):
            Prompt(**wrong)  # type: ignore[arg-type]


def test_audio_prompts_are_read_at_the_rate_of_the_model(tmp_path: Path) -> None:
    class Measuring(Beep):
        shape: tuple[int, ...] = ()

        def embed(
            self, prompt: "str | np.ndarray[tuple[int, ...], np.dtype[np.float32]]"
        ) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
            self.shape = np.shape(prompt)
            return super().embed(prompt)

    Waveform(np.sin(np.arange(22050) / 9).astype(np.float32), 22050).write(tmp_path / "mono.flac")
    model = Measuring()
    Embedder(model).embed([Prompt(audio=str(tmp_path / "mono.flac"))])
    assert model.shape == (48000, 2)
