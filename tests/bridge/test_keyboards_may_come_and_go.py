"""Promise: a keyboard that is plugged in plays, one that is pulled out leaves no note hanging; floods do no harm."""

import contextlib
import random
from collections import deque

import jack
import pytest
from studio import wait_until

from jackdaw.engine.protocol.client import ControlClient


class Keyboard:
    """A hardware MIDI source, as JACK sees it; what is in `waiting` is sent, so many events a period."""

    def __init__(self, server, name, at_once):
        self.waiting = deque()
        self.jack = jack.Client(name, servername=server, no_start_server=True)
        self.port = self.jack.midi_outports.register("keys", is_physical=True)
        self.name = self.port.name

        @self.jack.set_process_callback
        def process(frames):
            self.port.clear_buffer()
            for at in range(min(at_once, len(self.waiting))):
                with contextlib.suppress(jack.JackErrorCode, jack.JackError):  # its buffer is full
                    self.port.write_midi_event(at * frames // at_once, self.waiting.popleft())

        self.jack.activate()

    def send(self, *messages):
        self.waiting.extend(bytes.fromhex(message) for message in messages)

    def sources(self):
        return [port.name for port in self.jack.get_all_connections(self.port)]

    def close(self):
        self.jack.close()


@pytest.fixture
def room(studio, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    it = studio(48000, 256)
    it.start_server()
    it.start_engine()
    it.start_bridge()
    it.wait_for_sound()
    with ControlClient(it.session, it.session, timeout=10.0) as client:
        yield it, lambda: client.status()["notes"]


@pytest.fixture
def plug(room):
    """Plug in keyboards; those left at the end are pulled out while the server still runs."""
    it, _ = room
    made = []

    def make(name="keyboard", at_once=64):
        made.append(Keyboard(it.session, name, at_once))
        return made[-1]

    yield make
    for keyboard in made:
        keyboard.close()


@pytest.mark.jack
def test_a_keyboard_comes_and_goes(room, plug):
    it, notes = room
    for note in ("3c", "40"):
        keyboard = plug()
        wait_until("the connection", lambda k=keyboard: k.sources() == [f"{it.client}:midi_in"])
        keyboard.send(f"90{note}40")
        wait_until("the note", lambda n=note: notes() == [int(n, 16)])
        keyboard.close()
        wait_until("the end of the note", lambda: notes() == [])
    assert len(it.bridge.said("MIDI device")) == 2
    assert len(it.bridge.said("MIDI device gone")) == 2


@pytest.mark.jack
def test_what_the_user_disconnects_stays_so(room, plug):
    it, notes = room
    keyboard = plug()
    wait_until("the connection", keyboard.sources)
    keyboard.jack.disconnect(keyboard.name, f"{it.client}:midi_in")
    other = plug("other")
    wait_until("the other's connection", other.sources)
    assert keyboard.sources() == []
    other.send("903c40")
    wait_until("the note", lambda: notes() == [60])


@pytest.mark.jack
@pytest.mark.parametrize("at_once", [50, 400])
def test_ten_thousand_random_events_do_no_harm(room, plug, at_once):
    """Strikes, releases, torn messages, SysEx of any length; 400 in a period are more than are taken."""
    it, notes = room
    choose = random.Random(at_once)
    keyboard = plug(at_once=at_once)
    wait_until("the connection", keyboard.sources)
    for _ in range(10_000):
        kind = choose.random()
        if kind < 0.7:
            status = choose.choice([0x80, 0x90, 0x9F, 0x99, 0xB0, 0xE0])
            keyboard.waiting.append(bytes([status, choose.randrange(128), choose.randrange(128)]))
        elif kind < 0.85:
            inside = (choose.randrange(128) for _ in range(choose.randrange(30)))
            keyboard.waiting.append(bytes([0xF0, *inside, 0xF7]))
        else:
            keyboard.waiting.append(choose.randbytes(choose.randrange(1, 9)))
    wait_until("all of them", lambda: not keyboard.waiting)
    keyboard.send(*[f"b{channel:x}7b00" for channel in range(16)])
    wait_until("silence", lambda: not keyboard.waiting and notes() == [])

    def strike():
        keyboard.send("803c00", "903c40")
        return notes() == [60]

    wait_until("the note", strike)  # again and again: while the flood is yet unheard, what comes after it may be lost
    keyboard.send("803c00")
    wait_until("the end of the note", lambda: notes() == [])
    assert it.engine.alive
    assert it.bridge.alive
