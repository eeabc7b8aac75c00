"""The JACK callback, driven by a server of cardboard whose structs are libjack's own as JACK-Client declares them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from _jack import ffi as jack_ffi
from numpy.typing import NDArray
from signals import FADE, ramp

from jackdaw.dsp import Client, SegmentReader, SegmentWriter, ffi, lib

BLOCK = 256


class CardboardJack:
    """Five audio ports, a MIDI port with what a test puts there, and a transport."""

    def __init__(self, client: Any) -> None:
        self.ports = np.zeros((5, 8192), np.float32)
        self.notes: list[tuple[int, bytes]] = []
        self.position = jack_ffi.new("jack_position_t *")
        self.rolling = 0
        self._client = client
        self._kept: list[Any] = []
        self._midi_port = ffi.new("char *")

        @ffi.callback("void *(void *, uint32_t)")
        def port_get_buffer(port: Any, _frames: int) -> Any:
            return port

        @ffi.callback("uint32_t (void *)")
        def midi_get_event_count(_buffer: Any) -> int:
            return len(self.notes)

        @ffi.callback("int (void *, void *, uint32_t)")
        def midi_event_get(event: Any, _buffer: Any, index: int) -> int:
            time, data = self.notes[index]
            held = jack_ffi.new("jack_midi_data_t[]", data)
            self._kept.append(held)
            told = jack_ffi.cast("jack_midi_event_t *", int(ffi.cast("uintptr_t", event)))
            told.time, told.size, told.buffer = time, len(data), held
            return 0

        @ffi.callback("int (const void *, void *)")
        def transport_query(_jack_client: Any, position: Any) -> int:
            size = jack_ffi.sizeof("jack_position_t")
            ffi.memmove(position, jack_ffi.buffer(self.position)[:], size)
            return self.rolling

        self._callbacks = (port_get_buffer, midi_get_event_count, midi_event_get, transport_query)
        pointers = [ffi.from_buffer("float[]", port, require_writable=True) for port in self.ports]
        api = ffi.new(
            "jd_jack_api *",
            {
                "port_get_buffer": port_get_buffer,
                "midi_get_event_count": midi_get_event_count,
                "midi_event_get": midi_event_get,
                "transport_query": transport_query,
                "audio_in": pointers[:2],
                "audio_out": pointers[2:4],
                "click": pointers[4],
                "midi_in": self._midi_port,
            },
        )
        lib.jd_jack_bind(client, api)

    def cycle(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        n = len(audio)
        self.ports[:2, :n] = audio.T
        self.ports[2:] = 99  # what the callback does not write shows
        assert lib.jd_jack_process(n, self._client) == 0
        return self.ports[2:4, :n].T.copy()


@pytest.fixture
def jack(pair: tuple[SegmentWriter, SegmentReader]) -> Iterator[CardboardJack]:
    return CardboardJack(pair[1].client)


def test_audio_passes_bit_exactly_both_ways(pair: tuple[SegmentWriter, SegmentReader], jack: CardboardJack) -> None:
    writer, _ = pair
    writer.write(ramp(0, 30_000))
    heard = np.concatenate([jack.cycle(ramp(BLOCK * i, BLOCK)) for i in range(100)])
    assert np.array_equal(heard[FADE:], ramp(FADE, len(heard) - FADE))
    assert np.array_equal(writer.read_input(100 * BLOCK), ramp(0, 100 * BLOCK))


def test_notes_arrive_on_their_frames(pair: tuple[SegmentWriter, SegmentReader], jack: CardboardJack) -> None:
    jack.cycle(ramp(0, BLOCK))
    jack.notes = [(3, b"\x90\x3c\x64"), (200, b"\xc0\x05"), (201, b"\xf0" + bytes(20) + b"\xf7")]
    jack.cycle(ramp(0, BLOCK))
    assert pair[0].read_midi() == [(BLOCK + 3, b"\x90\x3c\x64"), (BLOCK + 200, b"\xc0\x05")]
    assert pair[0].counters.midi_dropped == 1


def test_a_block_with_too_many_notes_ends_in_a_reset(
    pair: tuple[SegmentWriter, SegmentReader], jack: CardboardJack
) -> None:
    """A note-off may be among the lost ones; SysEx before them takes nobody's place."""
    writer = pair[0]
    jack.cycle(ramp(0, BLOCK))
    sysex, notes = b"\xf0" + bytes(20) + b"\xf7", [(7, bytes([0x90, number % 128, 1])) for number in range(300)]
    jack.notes = [(0, sysex)] * 300 + notes[:256]
    jack.cycle(ramp(0, BLOCK))
    assert writer.read_midi() == [(BLOCK + frame, message) for frame, message in notes[:256]]
    jack.notes = notes
    jack.cycle(ramp(0, BLOCK))
    told = writer.read_midi()
    assert [message for _, message in told] == [message for _, message in notes[:255]] + [b"\xff"]
    assert writer.counters.midi_dropped == 300 + 44


def test_notes_are_released_once(pair: tuple[SegmentWriter, SegmentReader], jack: CardboardJack) -> None:
    jack.cycle(ramp(0, BLOCK))
    pair[1].renderer.release_notes()
    jack.cycle(ramp(0, BLOCK))
    jack.cycle(ramp(0, BLOCK))
    assert pair[0].read_midi() == [(BLOCK, b"\xff")]


def test_the_transport_arrives(pair: tuple[SegmentWriter, SegmentReader], jack: CardboardJack) -> None:
    jack.rolling = 1
    jack.position.frame = 123_456
    jack.cycle(ramp(0, BLOCK))
    transport = pair[0].transport
    assert (transport.rolling, transport.frame, transport.bpm) == (True, 123_456, 0.0)
    told = jack.position
    told.valid = 0x10  # JackPositionBBT
    told.bar, told.beat, told.tick = 7, 3, 480
    told.beats_per_bar, told.beat_type, told.ticks_per_beat, told.beats_per_minute = 4.0, 4.0, 1920.0, 123.5
    jack.cycle(ramp(0, BLOCK))
    transport = pair[0].transport
    assert (transport.bar, transport.beat, transport.tick, transport.bpm) == (7, 3, 0.25, 123.5)
    assert (transport.beats_per_bar, transport.beat_type) == (4.0, 4.0)
    assert transport.ns > 0


def test_xruns_and_freewheel_are_told(pair: tuple[SegmentWriter, SegmentReader], jack: CardboardJack) -> None:
    writer, reader = pair
    lib.jd_jack_xrun(reader.client)
    lib.jd_jack_xrun(reader.client)
    lib.jd_jack_freewheel(1, reader.client)
    reader.renderer.set_patience(0.01)
    jack.cycle(ramp(0, BLOCK))
    assert writer.counters.xruns == 2
    assert writer.counters.last_xrun_ns > 0
    assert writer.freewheeling
    lib.jd_jack_freewheel(0, reader.client)
    jack.cycle(ramp(0, BLOCK))
    assert not writer.freewheeling


def test_without_a_segment_there_is_silence() -> None:
    client = Client()
    jack = CardboardJack(client.pointer)
    assert not jack.cycle(ramp(0, BLOCK)).any()
    assert not jack.cycle(ramp(0, 8192)).any()
    client.close()


def test_meters_and_callback_times_are_kept(pair: tuple[SegmentWriter, SegmentReader], jack: CardboardJack) -> None:
    for _ in range(50):
        jack.cycle(np.full((BLOCK, 2), [0.25, -0.75], np.float32))
    counters = pair[0].counters
    assert counters.peak_in == (0.25, 0.75)
    assert counters.hold_in == (0.25, 0.75)
    assert counters.blocks == 50
    assert sum(counters.histogram) == 50
    assert 0 < counters.callback_ns(0.5) <= counters.callback_ns(1.0)
    assert counters.callback_ns(1.0) >= counters.callback_ns_max * 0.99
    jack.cycle(np.zeros((BLOCK, 2), np.float32))
    counters = pair[0].counters
    assert counters.peak_in == (0.0, 0.0)
    assert 0.7 < counters.hold_in[1] < 0.75
