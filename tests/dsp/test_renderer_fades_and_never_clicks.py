"""Whatever happens to the music, the renderer fades: underrun, reset, stale drop, hand-over, a dead engine, a stop."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from signals import AMPLITUDE, FADE, QUIET, gaps, ramp, roughness, sine

from jackdaw.dsp import Client, SegmentReader, SegmentWriter

Pair = tuple[SegmentWriter, SegmentReader]
Audio = NDArray[np.float32]
BLOCKS = [1, 7, 64, 128, 441, 1024, 1777, 4096, 8192]


class Stream:
    """Writes a signal ahead of the reader and keeps what was rendered."""

    def __init__(self, pair: Pair, signal: Callable[[int, int], Audio] = sine, ahead: int = 40000) -> None:
        self.writer, self.reader = pair
        self.signal = signal
        self.ahead = ahead
        self.at = 0
        self.rendered: list[Audio] = []

    def feed(self, frames: int | None = None) -> None:
        count = self.ahead - self.writer.fill if frames is None else frames
        if count > 0:
            self.writer.write(self.signal(self.at, count))
            self.at += count

    def render(self, frames: int, block: int = 128, feed: bool = True) -> Audio:
        parts = []
        while frames > 0:
            if feed:
                self.feed()
            n = min(block, frames)
            parts.append(self.reader.renderer.render(None, n))
            frames -= n
        self.rendered += parts
        return np.concatenate(parts) if parts else np.zeros((0, 2), np.float32)

    @property
    def heard(self) -> Audio:
        return np.concatenate(self.rendered)


def sizes(seed: int) -> Iterator[int]:
    rng = np.random.default_rng(seed)
    while True:
        yield int(np.exp(rng.uniform(0, np.log(8192))))


def test_the_detector_hears_a_cut_and_a_dropped_sample() -> None:
    whole = sine(0, 4000)
    cut = whole.copy()
    cut[2027:] = 0  # not at a zero crossing
    dropped = np.delete(whole, 2027, axis=0)
    faint = whole.copy()
    faint[2027] += 10 ** (-50 / 20)
    assert roughness(whole[2:])[2:].max() < 1e-6
    for broken in (cut, dropped, faint):
        assert roughness(broken)[2:].max() > QUIET


@pytest.mark.parametrize("block", BLOCKS)
def test_a_ramp_passes_bit_exactly(pair: Pair, block: int) -> None:
    stream = Stream(pair, ramp)
    heard = stream.render(100_000, block)
    assert np.array_equal(heard[FADE:], ramp(FADE, 100_000 - FADE))
    assert pair[1].counters.underruns == 0


def test_a_ramp_passes_bit_exactly_when_every_block_has_another_size(pair: Pair) -> None:
    stream = Stream(pair, ramp)
    for _, block in zip(range(300), sizes(1), strict=False):
        stream.render(block, block)
    heard = stream.heard
    assert np.array_equal(heard[FADE:], ramp(FADE, len(heard) - FADE))


@pytest.mark.parametrize("block", BLOCKS)
def test_an_underrun_fades_out_and_in_once_and_is_counted(pair: Pair, block: int) -> None:
    stream = Stream(pair)
    stream.render(30_000, block)
    stream.render(60_000, block, feed=False)
    assert pair[0].fill == 0
    stream.render(60_000, block)
    heard = stream.heard
    assert roughness(heard).max() < QUIET
    assert len(gaps(heard)) == 1
    counters = pair[1].counters
    assert counters.underruns == 1
    assert counters.fades == 1
    start, end = gaps(heard)[0]
    assert abs(counters.underrun_frames - (end - start)) <= 2
    assert np.abs(heard).max() <= AMPLITUDE


def test_after_an_underrun_music_waits_for_half_the_target(pair: Pair) -> None:
    stream = Stream(pair)
    stream.render(10_000)
    stream.render(50_000, feed=False)
    stream.feed(4000)
    assert not stream.render(2560, feed=False).any()
    stream.feed(1000)  # 5000 of a target of 9600
    assert stream.render(2560, feed=False)[FADE:].any()
    assert pair[1].counters.underruns == 1


def test_a_starving_engine_makes_few_gaps_and_no_click(pair: Pair) -> None:
    stream = Stream(pair)
    rng = np.random.default_rng(5)
    for _ in range(1500):
        if rng.random() < 0.23:
            stream.feed(480)
        stream.render(128, feed=False)
    counters = pair[1].counters
    assert counters.underruns >= 3
    assert counters.underruns < 60
    assert roughness(stream.heard).max() < QUIET


def test_music_that_comes_back_during_the_fade_swells_up_again(pair: Pair) -> None:
    stream = Stream(pair)
    stream.render(20_000)
    while stream.writer.fill > FADE + 64:
        stream.render(64, 64, feed=False)
    stream.render(128, 64, feed=False)  # half-way down
    stream.render(20_000, 64)
    assert pair[1].counters.underruns == 1
    assert len(gaps(stream.heard, 200)) == 0
    assert roughness(stream.heard).max() < QUIET


@pytest.mark.parametrize("delay", [0, 32, 128, 224, 256, 448])
def test_a_stop_and_a_go_during_a_fade_do_not_click(pair: Pair, delay: int) -> None:
    stream = Stream(pair)
    for armed in (True, False, True, False, True):
        pair[1].arm(armed)
        stream.render(delay, 32)
    stream.render(2000, 32)
    pair[0].reset()
    stream.feed(20_000)
    stream.render(delay, 32)
    pair[1].arm(False)
    stream.render(delay, 32)
    pair[0].reset()
    stream.render(2000, 32)
    assert roughness(stream.heard).max() < QUIET


@pytest.mark.parametrize("block", BLOCKS)
def test_a_reset_with_new_music_at_hand_crossfades_without_a_gap(pair: Pair, block: int) -> None:
    stream = Stream(pair)
    stream.render(30_000, block)
    stream.writer.reset()
    stream.at += 12_345  # other music: the same sine at another phase
    stream.feed(40_000)
    stream.render(30_000, block, feed=False)
    assert roughness(stream.heard).max() < QUIET
    assert not gaps(stream.heard)
    counters = pair[1].counters
    assert counters.underruns == 0
    assert counters.dropped_frames > 0


def test_a_reset_plays_nothing_older_than_the_fade(pair: Pair) -> None:
    stream = Stream(pair, ramp)
    stream.render(30_000)
    stream.writer.reset()
    stream.at = 1_000_000
    stream.feed(20_000)
    heard = stream.render(10_000, feed=False)
    assert np.array_equal(heard[FADE:], ramp(1_000_000 + FADE, 10_000 - FADE))


def test_a_reset_without_new_music_fades_to_silence_and_counts_no_underrun(pair: Pair) -> None:
    stream = Stream(pair)
    stream.render(30_000)
    stream.writer.reset()
    heard = stream.render(3000, feed=False)
    assert not heard[FADE:].any()
    stream.render(30_000)
    assert roughness(stream.heard).max() < QUIET
    assert pair[1].counters.underruns == 0


def test_resets_in_quick_succession_do_not_click(pair: Pair) -> None:
    stream = Stream(pair)
    stream.render(5000)
    for turn in range(60):
        stream.writer.reset()
        stream.at += 1111 * turn
        stream.feed(12_000)
        stream.render(64 + 32 * (turn % 3), 32, feed=False)
    # up to five tails ring at once, each a fade of a fade: the residues add up
    assert roughness(stream.heard).max() < 3 * QUIET


@pytest.mark.parametrize("block", BLOCKS)
def test_stale_music_is_dropped_with_a_crossfade(pair: Pair, block: int) -> None:
    stream = Stream(pair, ahead=12_000)
    stream.writer.publish(limit=20_000)
    stream.render(20_000, block)
    stream.feed(60_000)  # a stalled engine catches up in one burst
    stream.render(block, block, feed=False)
    assert stream.writer.fill <= 20_000
    stream.render(30_000, block)
    assert roughness(stream.heard).max() < QUIET
    assert not gaps(stream.heard)
    assert pair[1].counters.dropped_frames > 30_000


def test_a_dead_engine_fades_within_five_ms_and_a_new_one_fades_in(session: str) -> None:
    client = Client()
    dead = SegmentWriter.open(session)
    reader = SegmentReader.attach(session, client)
    reader.set_reader(48000, 128)
    reader.arm(True)
    dead.publish(target=9600, ring_rate=48000)
    stream = Stream((dead, reader))
    stream.render(20_000)
    instance = reader.writer_instance
    dead.close()
    client.engine_gone(instance)
    assert not stream.render(5000, feed=False)[FADE + 1 :].any()
    assert reader.counters.underruns == 0
    with SegmentWriter.open(session) as new:
        assert not reader.replaced()
        new.publish(target=9600, ring_rate=48000)
        stream.writer = new
        stream.at += 777
        stream.render(20_000)
        assert stream.heard[-1000:].any()
        assert roughness(stream.heard).max() < QUIET
        reader.close()
    client.close()


@pytest.mark.parametrize("block", [1, 64, 441, 4096])
def test_a_hand_over_to_another_segment_crossfades(session: str, block: int) -> None:
    client = Client()
    other = f"{session}-other"
    with SegmentWriter.open(session) as one, SegmentWriter.open(other) as two:
        first = SegmentReader.attach(session, client)
        first.set_reader(48000, block)
        client.arm(True)
        for writer in (one, two):
            writer.publish(target=9600, ring_rate=48000)
        stream = Stream((one, first))
        stream.render(20_000, block)
        two.write(sine(31_234, 40_000))
        second = SegmentReader.attach(other, client)  # no block comes meanwhile: the exchange is made here
        first.close()
        stream.reader = second
        stream.render(20_000, block, feed=False)
        assert roughness(stream.heard).max() < QUIET
        assert not gaps(stream.heard)
        second.close()
    client.close()


@pytest.mark.parametrize("what", ["stop", "disarm", "detach"])
def test_silence_on_demand_fades_and_comes_back(pair: Pair, what: str) -> None:
    stream = Stream(pair)
    reader = pair[1]
    stream.render(20_000)
    if what == "stop":
        reader.renderer.request_stop()
    elif what == "disarm":
        reader.arm(False)
    else:
        reader.renderer.use(None)
    heard = stream.render(2000)
    assert heard[:FADE].any()
    assert not heard[FADE + 1 :].any()
    assert reader.renderer.stopped == (what == "stop")
    reader.renderer.request_stop(False)
    reader.arm(True)
    reader.renderer.use(reader)
    stream.render(20_000)
    assert stream.heard[-100:].any()
    assert roughness(stream.heard).max() < QUIET
    assert reader.counters.underruns == 0


def test_the_end_of_the_music_fades_and_is_no_underrun(pair: Pair) -> None:
    stream = Stream(pair)
    stream.render(20_000)
    stream.writer.publish(stopping=True)
    stream.render(50_000, feed=False)
    assert stream.writer.fill == 0
    assert roughness(stream.heard).max() < QUIET
    assert pair[1].counters.underruns == 0


def test_a_ring_of_another_rate_is_not_played(pair: Pair) -> None:
    stream = Stream(pair)
    stream.render(20_000)
    pair[0].publish(ring_rate=44100)
    assert not stream.render(5000)[FADE + 1 :].any()
    assert roughness(stream.heard).max() < QUIET


def test_a_ring_that_is_not_armed_is_neither_played_nor_filled(pair: Pair) -> None:
    writer, reader = pair
    reader.arm(False)
    writer.write(sine(0, 20_000))
    for _ in range(50):
        assert not reader.renderer.render(np.ones((128, 2), np.float32), 128).any()
    assert writer.fill == 20_000
    assert writer.in_available == 0


def test_the_volume_glides_and_arrives_exactly(pair: Pair) -> None:
    stream = Stream(pair)
    stream.render(20_000)
    pair[1].renderer.set_volume(0.25)
    heard = stream.render(20_000)
    assert np.array_equal(heard[1000:], sine(21_000, 19_000) * np.float32(0.25))
    pair[1].renderer.set_volume(1.0)
    heard = stream.render(20_000)
    assert np.array_equal(heard[1000:], sine(41_000, 19_000))
    assert roughness(stream.heard).max() < QUIET


def test_what_cannot_be_music_becomes_silence(pair: Pair) -> None:
    writer, reader = pair
    poison = sine(0, 20_000)
    poison[::97] = np.nan
    poison[::89] = np.inf
    poison[::83] = 1e30
    writer.write(poison)
    heard = reader.renderer.render(poison[:8000], 8000)
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= AMPLITUDE
    captured = writer.read_input(8000)
    assert np.isfinite(captured).all()
    assert np.abs(captured).max() <= AMPLITUDE


def test_odd_shapes_of_input_and_output_are_served(pair: Pair) -> None:
    writer, reader = pair
    writer.write(ramp(0, 40_000))
    render = reader.renderer.render
    render(None, 1000)
    mono = render(np.full((100, 1), 0.5, np.float32), 100, channels=1)
    assert not mono.any()  # left and right of the ramp cancel in the mean
    four = render(None, 100, channels=4)
    assert np.array_equal(four[:, 2], four[:, 0])
    assert render(None, 0).shape == (0, 2)
    writer.skip_input(1000)
    assert np.array_equal(writer.read_input(100), np.full((100, 2), 0.5, np.float32))  # mono is copied to both


def test_a_reader_hears_nothing_that_was_made_for_the_one_before_it(session: str) -> None:
    with SegmentWriter.open(session) as writer:
        writer.publish(target=9600, ring_rate=48000)
        with SegmentReader.attach(session) as first:
            first.set_reader(48000, 480)
            first.arm(True)
            writer.reset()
            writer.write(ramp(0, 30_000))
            assert first.renderer.render(None, 4800).any()
        with SegmentReader.attach(session) as second:
            second.set_reader(48000, 480)
            second.arm(True)
            assert not second.renderer.render(None, 4800).any()
            writer.write(ramp(30_000, 4800))  # a step that was under way for the first
            assert not second.renderer.render(None, 4800).any()
            writer.reset()
            writer.write(ramp(100_000, 20_000))
            heard = second.renderer.render(None, 4800)
            assert np.array_equal(heard[FADE:], ramp(100_000 + FADE, 4800 - FADE))
            assert second.counters.underruns == 0
