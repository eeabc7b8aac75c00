"""A session whose state was saved and restored plays on as if it had never stopped."""

from typing import Any

import numpy as np
import pytest
from players import Reader, hosting, opened, playing, wait_for

from jackdaw.engine.models.beep import Beep
from jackdaw.engine.models.contract import Audio, Controls, Model
from jackdaw.engine.options import Options
from jackdaw.engine.state import save_state


def steps(model: Model, state: Any, count: int) -> tuple[Any, Audio]:
    silence = np.zeros((model.spec.step_samples, model.spec.channels), np.float32)
    pieces = []
    for _ in range(count):
        state, audio = model.step(state, Controls(), silence)
        pieces.append(audio)
    return state, np.concatenate(pieces)


def test_what_is_saved_is_the_state_between_two_steps(model: Model) -> None:
    with playing(model, Options(seed=3)) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(0.5)
        wait_for(lambda: session.status()["fill_ms"] > session.status()["target_ms"])
        count = session.status()["steps"]
        state, _ = steps(model, model.init(3), count)
        assert session.save_state() == save_state(state)


def test_restored_is_never_stopped_to_the_bit(model: Model) -> None:
    state, _ = steps(model, model.init(3), 10)
    _, expected = steps(model, state, 60)
    with playing(model, Options(seed=4)) as (session, name):
        session.restore_state(save_state(state))
        with Reader(name) as reader:
            reader.wait_until_engine_is_ready()
            played = reader.render(1.5)
        assert np.array_equal(played[480:], expected[480 : len(played)])  # after the fade-in of 5 ms


def test_a_state_moves_from_session_to_session() -> None:
    with hosting(Beep("beep-ramp")) as host:
        one, two = opened(host, "beep-ramp"), opened(host, "beep-ramp")
        with Reader(one.name) as reader:
            reader.wait_until_engine_is_ready()
            reader.render(1.0)
        revision = two.revision
        two.restore_state(one.save_state())
        assert two.revision == revision + 1
        assert two.save_state() == one.save_state()


def test_while_something_plays_the_change_is_no_click() -> None:
    class Steady(Beep):
        def step(self, state: Any, controls: Controls, heard: Audio | None) -> tuple[Any, Audio]:
            state, audio = super().step(state, controls, heard)
            return state, np.full_like(audio, 0.5 if state["offset"] else -0.5)

    model = Steady("beep-echo")
    with playing(model, Options(seed=3)) as (session, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(1.0)
        other = {**model.init(3), "offset": np.int64(0)}
        session.restore_state(save_state(other))
        after = reader.render(1.0)[:, 0]
        assert after[0] == 0.5
        assert after[-1] == -0.5
        assert np.abs(np.diff(after)).max() < 0.01


@pytest.mark.parametrize("damage", ["short", "foreign"])
def test_a_state_that_is_none_changes_nothing(damage: str) -> None:
    with playing(Beep("beep")) as (session, _):
        before = session.save_state()
        blob = before[:-3] if damage == "short" else save_state({"other": np.zeros(3)})
        with pytest.raises(ValueError, match="state"):
            session.restore_state(blob)
        assert session.save_state() == before
