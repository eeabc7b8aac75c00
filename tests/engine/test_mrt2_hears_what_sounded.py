"""Whoever plays along with Magenta RealTime 2 enters its past, on the very frame over which it sounded."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pytest
from mrt2_models import REDUCED, small_mrt2, whole

from jackdaw.engine.models import spectrostream as codec
from jackdaw.engine.models.contract import Audio, Controls
from jackdaw.engine.models.mrt2 import ENCODER_AHEAD, ENCODER_PAST, FRAME, MRT2, REST, Codes
from jackdaw.engine.models.mrt2_depthformer import NOTHING

LOUDEST = 256.0
STEPS = 12


def tone(value: float) -> Audio:
    return np.full((FRAME, 2), value / LOUDEST, np.float32)


@dataclass(frozen=True)
class Ledger:
    """Networks whose past is the list of what they took in; frame n sounds as the number of its code, which is n + 1.

    The codes of a sound are its number, so that a frame encoded with the wrong samples is noticed.
    """

    delay: int
    config: Any = REDUCED

    def past(self) -> Any:
        return ()

    def rewound(self, past: Any, frames: int) -> Any:
        return past[: len(past) - frames]

    def take_in(self, past: Any, codes: Codes, row: Any) -> Any:
        return (*past, (int(codes[0]), row.tobytes()))

    def play(self, past: Any, decoder: Any, codes: Codes, row: Any, *rest: Any) -> tuple[Any, Any, Codes, Audio]:
        past = self.take_in(past, codes, row)
        chosen = np.full(REDUCED.levels, len(past), np.int32)
        waiting = (*decoder, len(past))
        return past, waiting[-self.delay :] if self.delay else (), chosen, tone(waiting[0])

    def decoder(self) -> Any:
        return (0,) * self.delay

    def decode(self, decoder: Any, codes: Codes) -> tuple[Any, Audio]:
        raise NotImplementedError

    def encoder(self) -> Any:
        return np.zeros((ENCODER_AHEAD, 2), np.float32)

    def encode(self, encoder: Any, audio: Audio) -> tuple[Any, Codes]:
        both = np.concatenate([encoder, audio])
        number = float(np.unique(both[:FRAME])[0]) * LOUDEST if len(np.unique(both[:FRAME])) == 1 else -99
        return both[FRAME:], np.full(REDUCED.levels, round(number), np.int32)


def taken_in(model: MRT2, heard: dict[int, float], controls: Controls | None = None) -> list[int]:
    """Return the codes that the model took in over a run, with input in some steps and silence in others."""
    state = model.init(0)
    for step in range(STEPS):
        state, _ = model.step(state, controls or Controls(), tone(heard.get(step, 0.0)))
    return [code for code, _ in state["past"]]


def model(delay: int) -> MRT2:
    return MRT2(Ledger(delay), lambda prompt: np.zeros(768, np.float32), lambda style: [0] * 4)


CHOSEN = [NOTHING, *range(1, STEPS)]


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_unheard_the_past_is_what_was_chosen(delay: int) -> None:
    assert taken_in(model(delay), {}) == CHOSEN


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_the_mix_is_in_the_past_where_it_sounded(delay: int) -> None:
    # in step 6 the frame before is sounding over which this is played: of `delay` steps earlier still
    expected = list(CHOSEN)
    sounding = 6 - 1 - delay
    expected[sounding + 1] += 100
    assert taken_in(model(delay), {6: 100.0}) == expected


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_whoever_goes_on_playing_is_heard_in_every_frame(delay: int) -> None:
    first = 3 + delay
    expected = list(CHOSEN)
    for step in range(first, STEPS - 1):  # the last one's end was not heard yet
        expected[step - delay] += 100
    assert taken_in(model(delay), dict.fromkeys(range(first, STEPS), 100.0)) == expected


def test_own_sound_and_input_have_gains() -> None:
    expected = list(CHOSEN)
    expected[4:6] = [0, 50]  # the encoder looks ahead, so the frame before the input begins is heard with it
    assert taken_in(model(1), {6: 100.0}, Controls(input_gain=0.5, feedback=0.0)) == expected


def test_what_a_frame_was_told_stays_what_it_was_told() -> None:
    player = Ledger(1)
    played = MRT2(player, lambda prompt: np.zeros(768, np.float32), lambda style: [0] * 4)
    state, rows = played.init(0), []
    for step in range(STEPS):
        state, _ = played.step(state, Controls(drums=step % 2 == 0), tone(100.0))
        rows.append(state["told"][-1].tobytes())
    assert [row for _, row in state["past"]] == rows


def test_what_it_is_told_are_the_codes_of_what_sounded() -> None:
    played = small_mrt2()
    state, sounding, mixes, told = played.init(5), np.zeros((FRAME, 2), np.float32), [], []
    for step in range(STEPS):
        heard = 0.1 * np.random.default_rng(step).normal(size=(FRAME, 2)).astype(np.float32)
        mixes.append(sounding + heard)
        state, sounding = played.step(state, Controls(), heard)
        told.append(played.context(state))
    recording = np.concatenate([np.zeros((FRAME, 2), np.float32), *mixes])
    books = whole()["soundstream"]["quantizer"]["embedding"]
    codes = codec.quantise(books, jax.jit(codec.encode)(whole()["encoder"], recording), REDUCED.levels)
    first = played.spec.look_ahead // FRAME + 2  # frames that are known from their first sample to their last
    np.testing.assert_array_equal(np.stack(told[first:]), codes[first:-1])


class Counted(Ledger):
    """Tells how often it encoded."""

    def encode(self, encoder: Any, audio: Audio) -> tuple[Any, Codes]:
        encoded.append(1)
        return super().encode(encoder, audio)


encoded: list[int] = []


def test_silence_costs_nothing() -> None:
    played = MRT2(Counted(1), lambda prompt: np.zeros(768, np.float32), lambda style: [0] * 4)
    state, counts = played.init(0), []
    for step in range(5 + 2 * REST):
        encoded.clear()
        state, _ = played.step(state, Controls(), tone(100.0 if step == 4 else 0.0))
        counts.append(len(encoded))
    assert counts == [0] * 4 + [ENCODER_PAST + 1] + [1] * (REST - 1) + [0] * (REST + 1)


def test_an_encoder_that_rested_hears_as_one_that_did_not() -> None:
    played = small_mrt2()
    results = []
    for ticking in (False, True):
        state, heard_codes = played.init(5), []
        for step in range(2 * REST + 6):
            noise = 0.1 * np.random.default_rng(step).normal(size=(FRAME, 2)).astype(np.float32)
            plays = step < 4 or step >= REST + 30
            wakes = ticking and not plays
            state, _ = played.step(state, Controls(), noise if plays else np.zeros_like(noise))
            if wakes:
                state = {**state, "quiet": np.minimum(state["quiet"], np.int32(REST - 2))}
            heard_codes.append(played.context(state))
        results.append(np.stack(heard_codes))
    np.testing.assert_array_equal(*results)


def test_a_player_without_ears_plays_on() -> None:
    class Deaf(Ledger):
        def encoder(self) -> Any:
            return None

    deaf = MRT2(Deaf(1), lambda prompt: np.zeros(768, np.float32), lambda style: [0] * 4)
    assert not deaf.spec.hears
    assert taken_in(deaf, {6: 100.0}) == CHOSEN


def test_a_player_that_is_too_far_behind_is_refused() -> None:
    with pytest.raises(ValueError, match="taken back"):
        model(3)
