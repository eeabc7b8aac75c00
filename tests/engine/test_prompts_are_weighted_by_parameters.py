"""Prompt i is weighted by weight_<i>: a change glides within a twentieth of a second, and embeds nothing anew."""

from typing import Any

import numpy as np
import pytest
from players import Reader, playing, wait_for

from jackdaw.engine.models.beep import Beep
from jackdaw.engine.models.contract import Audio, Controls, Style
from jackdaw.engine.options import Options
from jackdaw.engine.parameters import MAX_PROMPTS, PARAMETERS
from jackdaw.engine.prompts import Prompt, blend


class Watching(Beep):
    """A test model that remembers what steered it."""

    def __init__(self) -> None:
        super().__init__("beep")
        self.styles: list[Style | None] = []
        self.embedded: list[object] = []

    def step(self, state: dict[str, Any], controls: Controls, heard: Audio | None) -> tuple[dict[str, Any], Audio]:
        self.styles.append(controls.style)
        return super().step(state, controls, heard)

    def embed(self, prompt: "str | Audio") -> Style:
        self.embedded.append(prompt)
        return super().embed(prompt)


def settle(session: Any) -> None:
    """Wait until the ring is full and the model rests."""
    wait_for(lambda: session.status()["fill_ms"] > session.status()["target_ms"])


def test_there_is_a_parameter_for_every_prompt() -> None:
    assert MAX_PROMPTS == 6
    for number in range(1, MAX_PROMPTS + 1):
        weight = PARAMETERS[f"weight_{number}"]
        assert (weight.minimum, weight.maximum, weight.default) == (0.0, 1.0, 1.0)


def test_a_weight_glides_and_embeds_nothing() -> None:
    model = Watching()
    options = Options(prompts=[Prompt(text="disco"), Prompt(text="rock", weight=0.0)])
    with playing(model, options) as (session, name), Reader(name) as reader:
        disco, rock = (Beep().embed(word) for word in ("disco", "rock"))
        reader.wait_until_engine_is_ready()
        reader.render(0.5)
        settle(session)
        assert all(style is not None and np.array_equal(style, disco) for style in model.styles)
        done = len(model.styles)
        session.set({"weight_1": 0.0, "weight_2": 1.0})
        reader.render(0.5)
        first, second = model.styles[done : done + 2]
        assert first == pytest.approx(blend([disco, rock], (0.2, 0.8)), abs=1e-6)
        assert second is not None
        assert np.array_equal(second, rock)
        assert len(model.embedded) == 2
        assert [prompt.weight for prompt in session.prompts] == [0.0, 1.0]
        settle(session)
        done = len(model.styles)
        session.set({"weight_2": 0.0})
        reader.render(0.5)
        assert model.styles[-1] is None
        assert all(style is None or np.array_equal(style, rock) for style in model.styles[done:])


def test_prompts_that_are_replaced_hold_from_the_next_step_on() -> None:
    model = Watching()
    with playing(model) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(0.5)
        settle(session)
        done, revision = len(model.styles), session.revision
        told = session.set_prompts([Prompt(text="disco", weight=3.0), Prompt(text="rock", weight=1.5)])
        assert session.revision == revision + 1
        assert [prompt.weight for prompt in told] == [1.0, 0.5]
        assert session.values()["weight_2"] == 0.5
        assert told[0].model_hash == session.model_hash
        reader.render(0.5)
        assert model.styles[done - 1] is None
        wanted = blend([Beep().embed("disco"), Beep().embed("rock")], [1.0, 0.5])
        assert np.array_equal(model.styles[done], wanted)  # type: ignore[arg-type]
        again = session.set_prompts(told)
        assert len(model.embedded) == 2
        assert [prompt.name for prompt in again] == ["disco", "rock"]


def test_opposite_prompts_may_meet_on_the_way() -> None:
    class Opposites(Watching):
        def embed(self, prompt: "str | Audio") -> Style:
            style = np.zeros(8, np.float32)
            style[0] = 1.0 if prompt == "up" else -1.0
            return style

    model = Opposites()
    options = Options(prompts=[Prompt(text="up"), Prompt(text="down", weight=0.2)])
    with playing(model, options) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(0.5)
        settle(session)
        session.set({"weight_1": 0.2, "weight_2": 0.2})
        reader.render(0.5)
        assert all(style is not None and np.linalg.norm(style) == pytest.approx(1.0) for style in model.styles)
        before = session.prompts
        with pytest.raises(ValueError, match="cancel"):
            session.set_prompts([Prompt(text="up"), Prompt(text="down")])
        assert session.prompts == before
        assert session.phase == "ready"


@pytest.mark.parametrize("prompts", [[Prompt(text="a")] * 7, [Prompt(text="ok"), Prompt(audio="/nowhere/a.wav")]])
def test_prompts_that_cannot_be_embedded_change_nothing(prompts: list[Prompt]) -> None:
    with playing(Watching(), Options(prompts=[Prompt(text="disco", weight=0.25)])) as (session, _):
        before, values, revision = session.prompts, session.values(), session.revision
        with pytest.raises((ValueError, OSError), match=r".{10}"):
            session.set_prompts(prompts)
        assert session.prompts == before
        assert session.values() == values
        assert session.revision == revision
