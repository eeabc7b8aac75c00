"""Every model family keeps the same promises, whatever it is made of."""

import copy
from typing import Any

import numpy as np
import pytest

from jackdaw.engine.models.contract import Audio, Chord, Clock, Controls, Model
from jackdaw.engine.state import load_state, save_state

STEPS = 30


def sound(model: Model, steps: int = STEPS, seed: int = 5) -> Audio:
    spec = model.spec
    noise = np.random.default_rng(seed).normal(size=(steps * spec.step_samples, spec.channels))
    return (0.1 * noise).astype(np.float32)


def part(model: Model, audio: Audio, step: int) -> Audio:
    return audio[step * model.spec.step_samples : (step + 1) * model.spec.step_samples]


def play(model: Model, state: Any, first: int, last: int, controls: Controls, heard: Audio | None) -> tuple[Any, Audio]:
    pieces = []
    for step in range(first, last):
        state, audio = model.step(state, controls, None if heard is None else part(model, heard, step))
        pieces.append(audio)
    return state, np.concatenate(pieces)


@pytest.fixture(params=["free", "steered", "guided"])
def controls(request: pytest.FixtureRequest, model: Model) -> Controls:
    style = model.embed("slow blues") if model.spec.style_size else None
    return {
        "free": Controls(),
        "steered": Controls(
            style=style, temperature=0.7, top_k=9, clock=Clock(bpm=97.0, beat=1.25), chord=Chord(root=9)
        ),
        "guided": Controls(style=style, guidance=3.0),
    }[request.param]


def test_model_is_one(model: Model) -> None:
    assert isinstance(model, Model)


def test_spec_is_consistent(model: Model) -> None:
    spec = model.spec
    state, audio = model.step(model.init(0), Controls(), None)
    assert audio.shape == (spec.step_samples, spec.channels)
    assert audio.dtype == np.float32
    assert np.isfinite(audio).all()
    assert spec.step_samples == spec.frame_samples * spec.frames_per_step
    assert 0 <= spec.look_ahead < spec.sample_rate
    assert spec.controls <= set(Controls.__dataclass_fields__)
    _, tokens = model.encode(None, sound(model, 2))
    assert tokens.shape == (2 * spec.frames_per_step, spec.levels)
    assert tokens.dtype == np.int32
    assert tokens.min() >= 0
    assert tokens.max() < spec.codebook
    (chosen,) = model.context(state).shape  # type: ignore[attr-defined]
    assert 0 < chosen <= spec.levels


def test_equal_seed_gives_equal_bytes(model: Model, controls: Controls) -> None:
    heard = sound(model)
    runs = [play(model, model.init(7), 0, STEPS, controls, heard) for _ in range(2)]
    assert runs[0][1].tobytes() == runs[1][1].tobytes()
    assert save_state(runs[0][0]) == save_state(runs[1][0])


def test_another_seed_gives_other_music(model: Model) -> None:
    if model.spec.name in ("beep-ramp", "beep-echo"):
        return  # whose music is the same for every seed, by design
    one, two = (play(model, model.init(seed), 0, STEPS, Controls(), None)[1] for seed in (1, 2))
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("stop", [1, 7, 13, 29])
def test_saved_and_restored_is_never_stopped(model: Model, controls: Controls, stop: int) -> None:
    heard = sound(model)
    _, whole = play(model, model.init(3), 0, STEPS, controls, heard)
    state, begin = play(model, model.init(3), 0, stop, controls, heard)
    restored = load_state(save_state(state), like=model.init(0))
    _, end = play(model, restored, stop, STEPS, controls, heard)
    assert np.concatenate([begin, end]).tobytes() == whole.tobytes()


def test_a_fork_leaves_the_original_alone(model: Model, controls: Controls) -> None:
    state, _ = play(model, model.init(3), 0, 5, controls, sound(model))
    before = save_state(state)
    kept = copy.deepcopy(state)
    fork = play(model, state, 5, 12, Controls(temperature=0.0, feedback=0.5), sound(model, seed=6))
    assert save_state(state) == before
    original = play(model, state, 5, 12, controls, sound(model))
    assert original[1].tobytes() == play(model, kept, 5, 12, controls, sound(model))[1].tobytes()
    assert fork[1].shape == original[1].shape


def test_hearing_silence_or_not_hearing_is_hearing_nothing(model: Model) -> None:
    _, nothing = play(model, model.init(3), 0, STEPS, Controls(), None)
    _, silence = play(model, model.init(3), 0, STEPS, Controls(), np.zeros_like(sound(model)))
    _, deaf = play(model, model.init(3), 0, STEPS, Controls(hear=False), sound(model))
    assert nothing.tobytes() == silence.tobytes() == deaf.tobytes()


def test_what_is_heard_changes_the_context(model: Model) -> None:
    if not model.spec.hears:
        return
    spec = model.spec
    state, _ = play(model, model.init(3), 0, 4, Controls(feedback=0.0), None)
    click = np.zeros((spec.step_samples, spec.channels), np.float32)
    click[100:140] = 0.8
    quiet, _ = model.step(state, Controls(feedback=0.0), 1e-3 * sound(model, 1))
    loud, _ = model.step(state, Controls(feedback=0.0), click)
    assert not np.array_equal(model.context(quiet), model.context(loud))  # type: ignore[attr-defined]


def test_feedback_leaves_what_was_played_as_it_was(model: Model) -> None:
    """It weighs the model's own sound in what is heard now: later on, the same sound counts in full again."""
    if not model.spec.hears:
        return
    after = []
    for feedback in (1.0, 0.25, 0.0):
        state, _ = play(model, model.init(3), 0, 4, Controls(feedback=feedback), None)
        state, _ = play(model, state, 4, 24, Controls(), None)  # an encoder remembers what it was given
        state, audio = model.step(state, Controls(), 0.5 * sound(model, 1))
        after.append((model.context(state).tobytes(), audio.tobytes()))  # type: ignore[attr-defined]
    assert after[0] == after[1] == after[2]


def test_controls_that_a_model_does_not_know_change_nothing(model: Model) -> None:
    values: dict[str, Any] = {
        "temperature": 0.1, "top_k": 3, "clock": Clock(bpm=100.0, beat=0.0), "chord": Chord(root=4), "guidance": 2.0,
    }  # fmt: skip
    _, plain = play(model, model.init(3), 0, 8, Controls(), None)
    for name in set(values) - model.spec.controls:
        _, audio = play(model, model.init(3), 0, 8, Controls(**{name: values[name]}), None)
        assert audio.tobytes() == plain.tobytes(), name


@pytest.mark.parametrize("cuts", [(1,) * 12, (5, 7), (3, 1, 8), (12,)])
def test_encoding_does_not_depend_on_the_split(model: Model, cuts: tuple[int, ...]) -> None:
    frame = model.spec.frame_samples
    audio = sound(model)[: 12 * frame]
    _, whole = model.encode(None, audio)
    state, at, pieces = None, 0, []
    for count in cuts:
        state, tokens = model.encode(state, audio[at : at + count * frame])
        pieces.append(tokens)
        at += count * frame
    assert np.array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("cuts", [(1,) * 12, (5, 7)])
def test_decoding_does_not_depend_on_the_split(model: Model, cuts: tuple[int, ...]) -> None:
    decode = model.decode  # type: ignore[attr-defined]
    tokens = np.random.default_rng(1).integers(0, model.spec.codebook, (12, model.spec.levels)).astype(np.int32)
    _, whole = decode(None, tokens)
    state, at, pieces = None, 0, []
    for count in cuts:
        state, audio = decode(state, tokens[at : at + count])
        pieces.append(audio)
        at += count
    assert np.concatenate(pieces).tobytes() == whole.tobytes()
    assert len(whole) == 12 * model.spec.frame_samples


def test_styles_have_unit_length_and_bad_prompts_are_refused(model: Model) -> None:
    spec = model.spec
    for prompt in ("disco", sound(model)):
        style = model.embed(prompt)
        assert style.shape == (spec.style_size,)
        assert style.dtype == np.float32
        assert np.linalg.norm(style) == pytest.approx(1.0, abs=1e-5)
    for bad in ("", "   ", np.zeros((spec.sample_rate, spec.channels), np.float32), sound(model)[:100]):
        with pytest.raises(ValueError, match=r"."):
            model.embed(bad)


def test_wrong_shapes_are_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="whole frames"):
        model.encode(None, sound(model)[:-1])
    with pytest.raises(ValueError, match="codes"):
        model.decode(None, np.full((2, model.spec.levels), model.spec.codebook, np.int32))  # type: ignore[attr-defined]
    if model.spec.hears:
        with pytest.raises(ValueError, match="heard has shape"):
            model.step(model.init(0), Controls(), np.zeros((5, model.spec.channels), np.float32))


def test_damaged_or_foreign_states_are_refused(model: Model) -> None:
    blob = save_state(model.init(0))
    with pytest.raises(ValueError, match="damaged"):
        load_state(blob[:-3], like=model.init(0))
    with pytest.raises(ValueError, match="another model"):
        load_state(save_state({"other": np.zeros(3)}), like=model.init(0))
