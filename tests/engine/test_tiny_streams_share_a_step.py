"""Several streams of `tiny` in one step: each gets what it would get alone, and nothing of the others."""

import time
from typing import Any

import jax
import numpy as np
import pytest
from conftest import small_tiny

from jackdaw.engine.models.contract import Audio, Chord, Clock, Controls, Item, Model, step_all
from jackdaw.engine.models.tiny import SIZES, Tiny
from jackdaw.engine.state import save_state

STREAMS, STEPS = 5, 24
Made = list[tuple[Any, Audio]]


@pytest.fixture(scope="module")
def tiny() -> Tiny:
    model = small_tiny()
    assert isinstance(model, Tiny)
    model.warm_up(3)
    model.warm_up(STREAMS)
    return model


def controls(model: Tiny) -> list[Controls]:
    """Of five streams: free, guided, hearing a clock, cold, guided by another amount."""
    blues, rock = model.embed("slow blues"), model.embed("rock")
    return [
        Controls(style=blues),
        Controls(style=rock, guidance=2.0),
        Controls(clock=Clock(bpm=90.0, beat=1.5), chord=Chord(root=3), temperature=1.7, top_k=64),
        Controls(temperature=0.0),
        Controls(style=blues, guidance=0.5, top_k=7, feedback=0.5),
    ]


def heard(stream: int, step: int) -> Audio | None:
    """Streams 2 and 4 hear something, now and then; the others are not connected."""
    if stream not in (2, 4) or step % 3:
        return None
    return (0.1 * np.random.default_rng([stream, step]).normal(size=(1920, 2))).astype(np.float32)


def items_of(model: Tiny, states: list[Any], step: int, streams: list[int]) -> list[Item]:
    steering = controls(model)
    return [(states[stream], steering[stream], heard(stream, step)) for stream in streams]


def assert_same(one: tuple[Any, Audio], other: tuple[Any, Audio]) -> None:
    """Equal codes; everything else up to rounding, which the phases of soft bins make larger."""
    networks = (one[0]["networks"], other[0]["networks"])
    for name in ("codes", "context", "frame", "seed"):
        np.testing.assert_array_equal(*(np.asarray(part[name]) for part in networks))
    for name in ("bands", "decoder", "lm"):
        for a, b in zip(*(jax.tree.leaves(part[name]) for part in networks), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-3)
    assert np.abs(one[1] - other[1]).max() < 0.02 * max(np.abs(one[1]).max(), 1e-3)


def started(model: Tiny, steps: int) -> list[Any]:
    """States of streams of different ages."""
    states = [model.init(stream) for stream in range(STREAMS)]
    for step in range(steps):
        for stream, item in enumerate(items_of(model, states, step, list(range(STREAMS)))):
            if step >= stream:
                states[stream] = model.step(*item)[0]
    return states


@pytest.mark.parametrize("streams", [[1, 0, 2], [3, 0, 1, 4, 2]])
def test_each_stream_gets_what_it_would_get_alone(tiny: Tiny, streams: list[int]) -> None:
    states = [tiny.init(stream) for stream in range(STREAMS)]
    for step in range(STEPS):
        items = items_of(tiny, states, step, streams)
        alone = [tiny.step(*item) for item in items]
        for one, other in zip(alone, step_all(tiny, items), strict=True):
            assert_same(one, other)
        for stream, (state, _) in zip(streams, alone, strict=True):
            states[stream] = state


def test_streams_go_on_together_as_alone(tiny: Tiny) -> None:
    """Not each step apart, but many in a row: the tokens stay the same."""
    streams = [0, 1, 2]
    together, alone = ([tiny.init(stream) for stream in streams] for _ in range(2))
    for step in range(STEPS):
        together = [state for state, _ in step_all(tiny, items_of(tiny, together, step, streams))]
        alone = [tiny.step(*item)[0] for item in items_of(tiny, alone, step, streams)]
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_array_equal(one["networks"]["codes"], other["networks"]["codes"])


def test_order_does_not_matter(tiny: Tiny) -> None:
    items = items_of(tiny, started(tiny, 8), 9, [0, 1, 2])
    forwards, backwards = step_all(tiny, items), step_all(tiny, items[::-1])
    for one, other in zip(forwards, backwards[::-1], strict=True):
        assert_same(one, other)


def test_streams_do_not_leak(tiny: Tiny) -> None:
    """What a neighbour is, plays, hears or is told changes nothing, bit for bit: sums go in the same order."""
    states = started(tiny, 8)
    items = items_of(tiny, states, 9, [0, 1, 2])
    before = step_all(tiny, items)
    other = (tiny.init(99), Controls(temperature=3.0, guidance=5.0), heard(4, 0))
    after = step_all(tiny, [items[0], other, items[2]])
    for index in (0, 2):
        assert save_state(before[index][0]) == save_state(after[index][0])
        assert before[index][1].tobytes() == after[index][1].tobytes()
    assert not np.array_equal(before[1][1], after[1][1])


def test_states_are_left_alone(tiny: Tiny) -> None:
    items = items_of(tiny, started(tiny, 6), 6, [0, 1, 2])
    kept = [save_state(state) for state, _, _ in items]
    step_all(tiny, items)
    with pytest.raises(ValueError, match="heard has shape"):
        step_all(tiny, [*items, (items[0][0], Controls(), np.zeros((5, 2), np.float32))])
    assert [save_state(state) for state, _, _ in items] == kept


def test_a_stream_alone_is_a_step_to_the_byte(tiny: Tiny) -> None:
    item = items_of(tiny, started(tiny, 5), 5, [1])[0]
    (state, audio), (again, sound) = tiny.step(*item), step_all(tiny, [item])[0]
    assert audio.tobytes() == sound.tobytes()
    assert save_state(state) == save_state(again)


def test_guidance_may_be_turned_up_at_any_time(tiny: Tiny) -> None:
    """The history without style is that with it, until guidance comes; without a style there is nothing to follow."""
    state = guided = tiny.init(1)
    for step in range(12):
        state, _ = tiny.step(state, Controls(), None)
        guided, _ = tiny.step(guided, Controls(guidance=3.0 if step >= 6 else 0.0), None)
        np.testing.assert_array_equal(state["networks"]["codes"], guided["networks"]["codes"])
    steered = tiny.step(state, Controls(style=tiny.embed("rock"), guidance=8.0), None)[0]
    assert not np.array_equal(steered["networks"]["lm"][0]["keys"][0], steered["networks"]["lm"][2]["keys"][0])


def test_nothing_waits_for_a_size_that_is_not_compiled() -> None:
    """Until it is, each stream is stepped alone, to the byte; then together."""
    tiny = small_tiny.__wrapped__()
    items = [(tiny.init(stream), Controls(), None) for stream in range(SIZES[1])]
    alone = [tiny.step(*item) for item in items]
    gate = tiny._compiler.submit(time.sleep, 0.5)  # keeps the compiler busy meanwhile
    for one, other in zip(alone, step_all(tiny, items), strict=True):
        assert save_state(one[0]) == save_state(other[0])
    gate.result()
    tiny._jobs[SIZES[1], False].result()
    for one, other in zip(alone, step_all(tiny, items), strict=True):
        assert_same(one, other)


def test_a_model_that_knows_no_more_than_the_contract_is_stepped_in_turn(model: Model) -> None:
    items: list[Item] = [(model.init(seed), Controls(), None) for seed in range(3)]
    for (state, audio), (again, sound) in zip(
        [model.step(*i) for i in items], step_all(_Plain(model), items), strict=True
    ):
        assert save_state(state) == save_state(again)
        assert audio.tobytes() == sound.tobytes()


class _Plain:
    """A model without `step_many`."""

    def __init__(self, model: Model) -> None:
        self.spec, self.init, self.step = model.spec, model.init, model.step
        self.encode, self.embed, self.warm_up = model.encode, model.embed, model.warm_up
