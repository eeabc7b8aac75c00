"""Promise: as timebase master ours counts bars and beats on the frame, and the metronome clicks on each of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from _jack import ffi as jack_ffi
from numpy.typing import NDArray

from jackdaw.dsp import ffi, lib

TICKS = 1920


class Master:
    """A timebase, asked as a server asks it: for the position one period ahead."""

    def __init__(self, bpm: float, beats_per_bar: int, rate: int) -> None:
        self.pointer = lib.jd_timebase_new(bpm, beats_per_bar)
        self.position = jack_ffi.new("jack_position_t *")
        self.position.frame_rate = rate

    def tell(self, bpm: float, beat: float, beats_per_bar: int, ns: int = 0) -> int:
        return int(lib.jd_timebase_tell(self.pointer, ffi.new("jd_beat *", (bpm, beat, beats_per_bar, ns))))

    def at(self, frame: int, *, is_new: bool = False, frames: int = 256) -> Any:
        self.position.frame, self.position.valid = frame, 0
        where = ffi.cast("void *", int(jack_ffi.cast("uintptr_t", self.position)))
        lib.jd_timebase_callback(1, frames, where, int(is_new), self.pointer)
        return self.position

    def beat(self, frame: int, **how: Any) -> float:
        told = self.at(frame, **how)
        return float((told.bar - 1) * told.beats_per_bar + told.beat - 1 + told.tick / told.ticks_per_beat)


@pytest.fixture
def master() -> Iterator[Master]:
    made = Master(120.0, 4, 48000)
    yield made
    lib.jd_timebase_free(made.pointer)


def test_bars_are_counted_from_frame_0(master: Master) -> None:
    told = master.at(0, is_new=True)
    assert told.valid == 0x10
    assert (told.bar, told.beat, told.tick, told.ticks_per_beat) == (1, 1, 0, TICKS)
    assert (told.beats_per_bar, told.beat_type, told.beats_per_minute, told.bar_start_tick) == (4.0, 4.0, 120.0, 0.0)
    told = master.at(24000 * 9 + 12000)
    assert (told.bar, told.beat, told.tick, told.bar_start_tick) == (3, 2, TICKS // 2, 8 * TICKS)


@pytest.mark.parametrize("rate", [44100, 48000, 96000])
@pytest.mark.parametrize("bpm", [60.0, 93.7, 187.3])
def test_hours_do_not_drift(bpm: float, rate: int) -> None:
    master = Master(bpm, 3, rate)
    for frame in (0, 1, rate, rate * 3600, rate * 3600 * 10):
        assert master.beat(frame) == pytest.approx(frame / rate * bpm / 60, abs=0.6 / TICKS)
    lib.jd_timebase_free(master.pointer)


def test_a_new_tempo_goes_on_from_where_the_beat_is(master: Master) -> None:
    master.at(0, is_new=True)
    assert master.beat(48000) == 2.0
    assert master.tell(60.0, -1.0, 4) == 0
    assert master.beat(48000) == 2.0
    assert master.beat(96000) == 3.0


def test_a_told_beat_moves_the_grid_by_less_than_half_a_bar(master: Master) -> None:
    master.at(0, is_new=True)
    master.tell(120.0, 3.5, 4)
    assert master.beat(48000 * 3) == 7.5  # it was 6.0, and 7.5 is nearer than 3.5
    master.tell(120.0, 1.0, 4, lib.jd_now_ns() - 250_000_000)
    # half a beat has passed since, and the position is one period ahead
    assert master.beat(48000 * 3) == pytest.approx(5.5 + 256 / 24000, abs=0.02)


def test_a_relocation_counts_from_frame_0(master: Master) -> None:
    master.tell(120.0, 1.5, 4)
    assert master.beat(1000) == 1.5
    assert master.beat(24000, is_new=True) == 1.0


def test_what_is_no_tempo_is_refused(master: Master) -> None:
    for bpm, beats in ((0.0, 4), (float("nan"), 4), (2000.0, 4), (120.0, 0), (120.0, 65)):
        assert master.tell(bpm, 0.0, beats) == lib.JD_ERROR_ARGUMENT
    assert master.at(0).beats_per_minute == 120.0


class Clicks:
    """The JACK callback with a click port alone, and a transport that a timebase tells."""

    def __init__(self, rate: int) -> None:
        self.client = lib.jd_client_new()
        lib.jd_client_set_rate(self.client, rate)
        self.rolling, self.position = 1, jack_ffi.new("jack_position_t *")
        self.port = np.zeros(8192, np.float32)

        @ffi.callback("void *(void *, uint32_t)")
        def port_get_buffer(port: Any, _frames: int) -> Any:
            return port

        @ffi.callback("int (const void *, void *)")
        def transport_query(_client: Any, position: Any) -> int:
            ffi.memmove(position, jack_ffi.buffer(self.position)[:], jack_ffi.sizeof("jack_position_t"))
            return self.rolling

        self._callbacks = (port_get_buffer, transport_query)
        api = {
            "port_get_buffer": port_get_buffer,
            "transport_query": transport_query,
            "click": ffi.from_buffer("float[]", self.port, require_writable=True),
        }
        lib.jd_jack_bind(self.client, ffi.new("jd_jack_api *", api))

    def cycle(self, frames: int) -> NDArray[np.float32]:
        self.port[:] = 99.0
        assert lib.jd_jack_process(frames, self.client) == 0
        return self.port[:frames].copy()

    def close(self) -> None:
        lib.jd_client_free(self.client)


def strikes(audio: NDArray[np.float32], rate: int) -> list[int]:
    """Return the frames at which clicks begin: the first sample of a click is 0, the next is not."""
    sounding = np.flatnonzero(audio)
    fresh = np.concatenate([[True], np.diff(sounding) > rate // 50])
    return [int(frame) - 1 for frame in sounding[fresh]]


@pytest.mark.parametrize("block", [64, 256, 1000, 4096])
@pytest.mark.parametrize("bpm", [53.0, 97.3, 120.0, 287.0])
def test_every_beat_clicks_once_and_in_time(bpm: float, block: int) -> None:
    rate, seconds = 48000, 20
    master, clicks = Master(bpm, 3, rate), Clicks(rate)
    clicks.position = master.position
    audio = []
    for frame in range(0, seconds * rate, block):
        master.at(frame, is_new=frame == 0)
        audio.append(clicks.cycle(block))
    clicks.close()
    lib.jd_timebase_free(master.pointer)
    sound = np.concatenate(audio)
    found = strikes(sound, rate)
    wanted = np.arange(0, len(sound) - 2, 60 * rate / bpm)
    assert len(found) == len(wanted)
    assert np.abs(np.array(found) - wanted).max() <= rate * 60 / bpm / TICKS + 1
    # the first of each bar is higher: more turns through zero in 10 ms
    turns = [int(np.sum(np.diff(np.sign(sound[f + 1 : f + 480])) != 0)) for f in found[:-1]]
    assert min(turns[::3]) > max(turns[1::3] + turns[2::3])
    assert np.abs(np.diff(sound)).max() < 0.15, "a click begins and ends softly"


def test_no_click_while_the_transport_stands_or_has_no_bars() -> None:
    clicks = Clicks(48000)
    clicks.position.frame_rate = 48000
    assert not clicks.cycle(256).any()  # rolls, and tells no bars
    position = clicks.position
    position.valid, position.bar, position.beat, position.beats_per_bar = 0x10, 1, 1, 4.0
    position.ticks_per_beat, position.beats_per_minute = 1920.0, 120.0
    clicks.rolling = 0
    assert not clicks.cycle(256).any()
    clicks.rolling = 1
    assert clicks.cycle(256).any()
    clicks.rolling = 0
    rest = np.concatenate([clicks.cycle(256) for _ in range(20)])
    assert rest[:256].any(), "a click that sounds is played out"
    assert not rest[2048:].any()
    clicks.close()
