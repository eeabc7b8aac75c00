"""A stream by OpenVINO is a value: saved and restored == never stopped, forked, interleaved, and overlapped == not."""

from typing import Any

import numpy as np
import pytest
from mrt2_small_sizes import CONFIG, FRAMES, params, played

from jackdaw.engine.runtime.openvino_mrt2 import Player, State, exported, imported, threads_for

TEMPERATURE, TOP_K = 1.0, 60


@pytest.fixture(scope="module")
def player() -> Player:
    return Player(params(), CONFIG, weights="int8")


def play(player: Player, state: State, first: int, last: int, turn: int = 0) -> tuple[State, list[Any]]:
    """Play frames; `turn` gives other noise. Codes and sound of each."""
    rows, _codes, noise = played()
    out = []
    for frame in range(first, last):
        state, audio = player.step(state, rows[frame], np.roll(noise[frame], turn, axis=1), TEMPERATURE, TOP_K)
        out.append((state.lm.codes, audio))
    return state, out


def same(one: list[Any], other: list[Any]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in pairs)


@pytest.mark.parametrize("split", [1, CONFIG.window - 1, CONFIG.window, 2 * CONFIG.window + 3])
def test_saved_and_restored_is_never_stopped(player: Player, split: int) -> None:
    _state, whole = play(player, player.init(), 0, FRAMES)
    state, before = play(player, player.init(), 0, split)
    saved = {name: array.copy() for name, array in exported(state).items()}
    assert all(isinstance(array, np.ndarray) for array in saved.values())
    play(player, player.init(), 0, 3, turn=5)  # something else meanwhile
    _state, after = play(player, imported(saved), split, FRAMES)
    assert same(whole, before + after)


def test_an_unplayed_stream_can_be_saved(player: Player) -> None:
    assert same(play(player, imported(exported(player.init())), 0, 3)[1], play(player, player.init(), 0, 3)[1])


def test_forks_do_not_see_each_other(player: Player) -> None:
    state, _ = play(player, player.init(), 0, 10)
    alone = [play(player, state, 10, FRAMES, turn)[1] for turn in (0, 9)]
    assert not same(*alone)
    streams, forks = [state, state], [[], []]
    for frame in range(10, FRAMES):
        for index, turn in enumerate((0, 9)):
            streams[index], out = play(player, streams[index], frame, frame + 1, turn)
            forks[index] += out
    assert same(alone[0], forks[0])
    assert same(alone[1], forks[1])


def test_overlapped_sounds_alike_a_frame_later(player: Player) -> None:
    plain = Player(params(), CONFIG, weights="int8", overlap=False)
    assert (player.look_ahead, plain.look_ahead) == (2 * 1920, 1920)
    _state, early = play(plain, plain.init(), 0, FRAMES)
    _state, late = play(player, player.init(), 0, FRAMES)
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(early, late, strict=True))
    assert all(np.allclose(a[1], b[1], atol=1e-6) for a, b in zip(early[:-1], late[1:], strict=True))
    assert not late[0][1].any()


def test_what_was_heard_is_what_the_next_frame_follows(player: Player) -> None:
    """A frame's codes are part of the state, so a caller may put others in their place."""
    rows, codes, noise = played()
    model = player.lm
    first = model.step(model.init(), rows[0], noise[0], TEMPERATURE, TOP_K, forced=codes[0])
    free = model.step(model.init(), rows[0], noise[0], TEMPERATURE, TOP_K)
    heard = type(free)(free.frame, codes[0], free.rows)
    nexts = [model.step(state, rows[1], noise[1], TEMPERATURE, TOP_K).codes for state in (first, heard, free)]
    assert np.array_equal(nexts[0], nexts[1])
    assert not np.array_equal(nexts[0], nexts[2])


@pytest.mark.parametrize("processors", [1, 2, 3, 4, 8, 64])
def test_threads_fit_the_processors(processors: int) -> None:
    for overlap in (False, True):
        lm, codec = threads_for(processors, overlap=overlap)
        assert min(lm, codec) >= 1
        assert max(lm, codec) <= processors
        assert lm + codec <= processors or not overlap or processors == 1
