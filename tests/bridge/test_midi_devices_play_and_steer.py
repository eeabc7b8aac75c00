"""Promise: MIDI devices play notes, turn knobs and show their values; they may come and go.

The ports are rtmidi's virtual ports in a JACK server: a real sequencer of ALSA needs /dev/snd/seq, which a machine
without sound cards has not. The code for both differs in one constant.
"""

import contextlib
import subprocess
import sys
import time

import jack
import pytest
import rtmidi
from studio import Process, wait_until

from jackdaw.bridge.midi_ports import MidiError, MidiPorts
from jackdaw.engine.protocol.client import ControlClient


class Device:
    """A keyboard with motor faders: a virtual output and a virtual input of rtmidi's."""

    def __init__(self, name):
        self.keys = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, f"{name}-keys")
        self.keys.open_virtual_port("out")
        self.faders = rtmidi.MidiIn(rtmidi.API_UNIX_JACK, f"{name}-faders")
        self.faders.open_virtual_port("in")

    def send(self, *messages):
        for message in messages:
            self.keys.send_message(bytes.fromhex(message))

    def shown(self):
        """Return what was sent to the faders since the last call."""
        messages = []
        while (event := self.faders.get_message()) is not None:
            messages.append(bytes(event[0]).hex())
        return messages

    def unplug(self):
        for port in (self.keys, self.faders):
            if not port.is_deleted:
                port.close_port()
                port.delete()


@pytest.fixture
def room(studio, tmp_path, monkeypatch):
    """A server and an engine without a client, whose map of controllers lies in the test's folder."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    it = studio(48000, 256)
    monkeypatch.setenv("JACK_DEFAULT_SERVER", it.session)
    it.start_server()
    it.start_engine()
    return it


@pytest.fixture
def client(room):
    def ready():
        with contextlib.suppress(RuntimeError):
            client = ControlClient(room.session, room.session, timeout=10.0)
            client.status()
            return client

    client = wait_until("the engine", ready)
    yield client
    client.close()


def command(*arguments):
    return [sys.executable, "-m", "jackdaw", *arguments]


@pytest.mark.jack
def test_a_device_plays_turns_and_shows(room, client, tmp_path):
    device = Device("launch")
    log = tmp_path / "midi.log"
    midi = Process(command("midi", "--api", "jack", "--port", "launch"), log)
    try:
        wait_until("the ports", lambda: log.read_text().count("connected: ") == 2)
        device.send("903c40", "904040", "f07e7f0901f7", "804000")
        wait_until("the note", lambda: client.status()["notes"] == [60])

        learn = subprocess.Popen(command("learn", "temperature"), stdout=subprocess.PIPE, text=True)
        assert "move a controller" in learn.stdout.readline()
        for value in range(10):
            device.send(f"b04a{value:02x}")
            time.sleep(0.05)
        said, _ = learn.communicate(timeout=30)
        assert "temperature: CC 74 on channel 1" in said
        assert "temperature = { cc = 74, channel = 1 }" in (tmp_path / "jackdaw" / "midi.toml").read_text()

        device.send("b04a7f")
        wait_until("the knob", lambda: client.status()["parameters"]["temperature"] == 4.0)
        wait_until("the fader", lambda: "b04a7f" in device.shown())
        client.set(temperature=2.0)
        wait_until("the fader", lambda: "b04a40" in device.shown())

        for channel in range(16):
            device.send(*[f"9{channel:x}{note:02x}40" for note in range(0, 128, 8)])
        wait_until("many notes", lambda: len(client.status()["notes"]) >= 16)
        device.unplug()
        wait_until("the end of the notes", lambda: client.status()["notes"] == [])
        device = Device("launch")
        wait_until("the ports again", lambda: log.read_text().count("connected: ") == 4)
        device.send("903e40")
        wait_until("the note", lambda: client.status()["notes"] == [62])
        midi.popen.send_signal(2)
        midi.popen.wait(10)
        wait_until("the end of the notes", lambda: client.status()["notes"] == [])
    finally:
        midi.stop()
        device.unplug()


@pytest.mark.jack
def test_a_patchbay_may_connect_the_ports(room):
    ports = MidiPorts("jack")
    device = Device("patched")
    hand = jack.Client("hand", servername=room.session, no_start_server=True)
    try:
        assert ports.look() == ([], [])
        hand.connect("patched-keys:out", "jackdaw-midi-in:in")
        hand.connect("jackdaw-midi-out:out", "patched-faders:in")
        device.send("903c40")
        assert ports.take(10.0, 8) == [bytes.fromhex("903c40")]
        ports.send(bytes.fromhex("b00740"))
        wait_until("the fader", lambda: device.shown() == ["b00740"])
    finally:
        hand.close()
        device.unplug()
        ports.close()


@pytest.mark.jack
def test_ten_thousand_messages_at_once_lose_nothing_but_the_oldest(room):
    ports = MidiPorts("jack", ["flood"])
    device = Device("flood")
    try:
        wait_until("the ports", lambda: ports.look() == ([], []) and len(ports._sources) == 1)
        for number in range(10_000):
            device.keys.send_message([0xB0, number >> 7 & 0x7F, number & 0x7F])
            if number % 100 == 99:
                time.sleep(0.01)  # what rtmidi sends within a period lies in a buffer of JACK's
        heard = []
        last = bytes([0xB0, 9_999 >> 7, 9_999 & 0x7F])
        wait_until("the last", lambda: heard.extend(ports.take(0.1, 10_000)) or last in heard)
        assert len(heard) <= 4096
        numbers = [(message[1] << 7) + message[2] for message in heard]
        assert numbers == sorted(numbers)
    finally:
        device.unplug()
        ports.close()


def test_no_sequencer_is_said(monkeypatch):
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "nobody-at-home")
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    with pytest.raises(MidiError, match="start one"):
        MidiPorts("jack")
