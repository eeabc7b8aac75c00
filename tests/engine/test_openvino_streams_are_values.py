"""A stream by OpenVINO is a value: saved and restored == never stopped, forked, interleaved, and overlapped == not."""

from typing import Any

import jax
import numpy as np
import pytest
from mrt2_small_sizes import CONFIG, FRAMES, params, played

from jackdaw.engine.models.mrt2_depthformer import NOTHING, SPARE
from jackdaw.engine.runtime.openvino_lm import AT_ONCE
from jackdaw.engine.runtime.openvino_mrt2 import OpenVinoPlayer, threads_for

TEMPERATURE, TOP_K = 1.0, 60
Stream = tuple[Any, Any, Any]
"""Pasts of the language model and of the decoder, and the codes that were chosen last."""


@pytest.fixture(scope="module")
def player() -> OpenVinoPlayer:
    return OpenVinoPlayer(params(), CONFIG, weights="int8")


def begun(player: OpenVinoPlayer) -> Stream:
    return player.past(), player.decoder(), np.full(CONFIG.levels, NOTHING, np.int32)


def play(player: OpenVinoPlayer, stream: Stream, first: int, last: int, turn: int = 0) -> tuple[Stream, list[Any]]:
    """Play frames; `turn` gives other noise. Codes and sound of each."""
    rows, _codes, noise = played()
    out = []
    for frame in range(first, last):
        rolled = np.roll(noise[frame], turn, axis=1)
        *stream, audio = player.play(*stream, rows[frame], rolled, TEMPERATURE, TOP_K)
        out.append((stream[-1], audio))
    return tuple(stream), out


def same(one: list[Any], other: list[Any]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1]) for a, b in pairs)


@pytest.mark.parametrize("split", [0, 1, CONFIG.window - 1, CONFIG.window, 2 * CONFIG.window + 3])
def test_saved_and_restored_is_never_stopped(player: OpenVinoPlayer, split: int) -> None:
    _stream, whole = play(player, begun(player), 0, FRAMES)
    stream, before = play(player, begun(player), 0, split)
    saved = jax.tree.map(np.array, stream)  # a tree of arrays, which a copy tells all of
    play(player, begun(player), 0, 3, turn=5)  # something else meanwhile
    _stream, after = play(player, saved, split, FRAMES)
    assert same(whole, before + after)


def test_states_keep_their_shapes(player: OpenVinoPlayer) -> None:
    def shapes(stream: Stream) -> Any:
        return jax.tree.map(lambda array: (array.shape, array.dtype), stream)

    assert shapes(begun(player)) == shapes(play(player, begun(player), 0, 3)[0])


def test_forks_do_not_see_each_other(player: OpenVinoPlayer) -> None:
    stream, _ = play(player, begun(player), 0, 10)
    alone = [play(player, stream, 10, FRAMES, turn)[1] for turn in (0, 9)]
    assert not same(*alone)
    streams, forks = [stream, stream], [[], []]
    for frame in range(10, FRAMES):
        for index, turn in enumerate((0, 9)):
            streams[index], out = play(player, streams[index], frame, frame + 1, turn)
            forks[index] += out
    assert same(alone[0], forks[0])
    assert same(alone[1], forks[1])


def test_overlapped_sounds_alike_a_frame_later(player: OpenVinoPlayer) -> None:
    plain = OpenVinoPlayer(params(), CONFIG, weights="int8", overlap=False)
    assert (player.delay, plain.delay) == (2, 1)
    early = play(plain, begun(plain), 0, FRAMES)[1]
    late = play(player, begun(player), 0, FRAMES)[1]
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(early, late, strict=True))
    assert all(np.allclose(a[1], b[1], atol=1e-6) for a, b in zip(early[:-1], late[1:], strict=True))
    assert not late[0][1].any()


@pytest.mark.parametrize("overlap", [False, True])
def test_decoding_apart_is_what_was_played(player: OpenVinoPlayer, overlap: bool) -> None:
    whole = player if overlap else OpenVinoPlayer(params(), CONFIG, weights="int8", overlap=False)
    out = play(whole, begun(whole), 0, FRAMES)[1]
    decoder = whole.decoder()
    for codes, audio in out:
        decoder, decoded = whole.decode(decoder, codes)
        assert np.array_equal(decoded, audio)


@pytest.mark.parametrize("back", range(1, SPARE + 1))
def test_taken_back_and_in_again_is_never_taken_back(player: OpenVinoPlayer, back: int) -> None:
    """Frames taken in again together with the next may round otherwise, so that it is logits that are compared."""
    rows, codes, noise = played()
    model = player.language

    def taken(past: Any, first: int, last: int, told: Any) -> Any:
        for frame in range(first, last):
            past = model.take_in(past, told[frame - 1] if frame else np.full_like(codes[0], NOTHING), rows[frame])
        return past

    def logits(past: Any) -> Any:
        model.choose(past, codes[14], rows[15], noise[15], TEMPERATURE, TOP_K)
        return model.logits()

    straight = model.past()
    for frame in range(15):
        before = codes[frame - 1] if frame else np.full_like(codes[0], NOTHING)
        straight, _ = model.choose(straight, before, rows[frame], noise[frame], TEMPERATURE, TOP_K)
    again = taken(model.rewound(straight, back), 15 - back, 15, codes)
    heard = taken(model.rewound(straight, back), 15 - back, 15, codes[::-1])
    waited = model.rewound(taken(model.rewound(again, 1), 14, 15, codes[::-1]), 1)  # taken back while it waits
    expected = logits(straight)
    assert np.abs(logits(again) - expected).max() < 1e-3
    assert np.abs(logits(taken(waited, 14, 15, codes)) - expected).max() < 1e-3
    assert np.abs(logits(heard) - expected).max() > 0.1
    assert back < AT_ONCE


def test_nothing_is_heard_without_ears(player: OpenVinoPlayer) -> None:
    assert player.encoder() is None
    with pytest.raises(ValueError, match="to hear"):
        player.encode(None, np.zeros((1920, 2), np.float32))


@pytest.mark.parametrize("processors", [1, 2, 3, 4, 8, 64])
def test_threads_fit_the_processors(processors: int) -> None:
    for overlap in (False, True):
        lm, codec = threads_for(processors, overlap=overlap)
        assert min(lm, codec) >= 1
        assert max(lm, codec) <= processors
        assert lm + codec <= processors or not overlap or processors == 1
