"""A controller turns what it was bound to, over the whole range, with 7 bits or 14; the map is kept in a file."""

import os
import random
from pathlib import Path

import pytest
from engines import serving
from players import Reader, hosting, opened, wait_for
from test_notes_and_time_reach_the_model import midi

from jackdaw.engine.controllers import Controller, Decoder, Move, messages
from jackdaw.engine.midi_map import MidiMap, map_path
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.parameters import PARAMETERS
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.messages import ControlError
from jackdaw.engine.tapers import position_of, value_at


def moved(*changes: tuple[int, int], channel: int = 1, decoder: Decoder | None = None) -> list[Move]:
    decoder = decoder or Decoder()
    result: list[Move] = []
    for number, value in changes:
        result = decoder.take(channel, number, value)
    return result


def test_seven_bits() -> None:
    assert moved((74, 127)) == [Move(Controller("cc", 74, 1), 1.0)]
    assert moved((74, 0), channel=16) == [Move(Controller("cc", 74, 16), 0.0)]


def test_fourteen_bits() -> None:
    fine = Controller("cc14", 1, 1)
    assert Move(fine, 1.0) in moved((1, 127), (33, 127))
    assert Move(fine, (64 << 7) / 16383) in moved((1, 127), (33, 127), (1, 64))  # a new upper half begins at its lowest
    assert Move(fine, ((64 << 7) + 5) / 16383) in moved((1, 64), (33, 1), (33, 5))


def test_what_moved_is_told_by_its_use() -> None:
    assert moved((16, 5)).pop().controller == Controller("cc", 16, 1)
    assert moved((16, 5), (48, 9)).pop().controller == Controller("cc", 48, 1)  # two knobs, one after the other
    assert moved((16, 5), (48, 9), (16, 5), (48, 11)).pop().controller == Controller("cc14", 16, 1)
    assert moved((16, 5), (48, 9), (16, 5), (48, 11), (16, 6)).pop().controller == Controller("cc14", 16, 1)


def test_nrpn() -> None:
    nrpn = Controller("nrpn", 300, 1)
    select = [(99, 300 >> 7), (98, 300 & 127)]
    assert moved(*select) == []
    assert moved(*select, (6, 127)) == [Move(nrpn, 1.0)]  # some devices send the upper half alone
    assert moved(*select, (6, 127), (38, 127)) == [Move(nrpn, 1.0)]
    assert moved(*select, (6, 64), (38, 1), (96, 0)) == [Move(nrpn, ((64 << 7) + 2) / 16383)]
    assert moved(*select, (97, 0)) == [Move(nrpn, 0.0)]
    for deselect in ([(99, 127), (98, 127)], [(101, 0), (100, 0)]):
        assert moved(*select, *deselect, (6, 127)).pop() == Move(Controller("cc", 6, 1), 1.0)
    decoder = Decoder()
    moved(*select, decoder=decoder)
    assert moved((6, 1), channel=2, decoder=decoder).pop().controller == Controller("cc", 6, 2)


@pytest.mark.parametrize("controller", [Controller("cc", 74, 3), Controller("cc14", 16, 3), Controller("nrpn", 300, 3)])
def test_feedback_stands_where_it_was_told(controller: Controller) -> None:
    for step in range(33):
        decoder, position = Decoder(), step / 32
        told: list[Move] = []
        for status, number, value in messages(controller, position):
            told = decoder.take((status & 0x0F) + 1, number, value)
        [there] = [move.position for move in told if move.controller == controller]
        assert there == pytest.approx(position, abs=1 / 127 if controller.kind == "cc" else 1 / 16383)


def test_random_changes_break_nothing() -> None:
    choose, decoder = random.Random(3), Decoder()
    for _ in range(10_000):
        moves = decoder.take(choose.randrange(1, 17), choose.randrange(120), choose.randrange(128))
        assert all(0.0 <= move.position <= 1.0 for move in moves)


@pytest.mark.parametrize("name", PARAMETERS)
def test_travel_covers_the_range(name: str) -> None:
    parameter = PARAMETERS[name]
    assert value_at(parameter, 0.0) == parameter.minimum
    assert value_at(parameter, 1.0) == parameter.maximum
    values = [value_at(parameter, step / 127) for step in range(128)]
    assert values == sorted(values)
    for value in (parameter.minimum, parameter.default, parameter.maximum):
        position = position_of(parameter, value)
        assert 0.0 <= position <= 1.0
        assert value_at(parameter, position) == pytest.approx(value)


def test_top_k_is_by_octaves() -> None:
    assert value_at(PARAMETERS["top_k"], 0.5) == 32


def test_the_map_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "jackdaw" / "midi.toml"
    kept = MidiMap(path)
    kept.bind("temperature", Controller("cc", 74, 1))
    kept.bind("guidance", Controller("cc14", 16))
    kept.bind("top_k", Controller("nrpn", 300, 16))
    assert dict(MidiMap(path).now) == dict(kept.now)
    kept.bind("feedback", Controller("cc", 74, 1))  # a controller turns one thing
    kept.bind("guidance", None)
    assert set(MidiMap(path).now) == {"top_k", "feedback"}
    with pytest.raises(ValueError, match="no parameter named 'loudness'"):
        kept.bind("loudness", Controller("cc", 1))
    assert os.listdir(path.parent) == ["midi.toml"]


def test_the_map_lies_where_configuration_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert map_path() == tmp_path / "jackdaw" / "midi.toml"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[controllers", "is not TOML"),
        ("[knobs]\n", "one table"),
        ("[controllers]\nloudness = { cc = 1 }\n", "no parameter named 'loudness'"),
        ("[controllers]\nguidance = 74\n", "guidance: give a table"),
        ("[controllers]\nguidance = { cc = 120 }\n", "0 to 119"),
        ("[controllers]\nguidance = { cc14 = 32 }\n", "0 to 31"),
        ("[controllers]\nguidance = { cc = 1, nrpn = 2 }\n", "with one of"),
        ("[controllers]\nguidance = { cc = 1, channel = 17 }\n", "1 to 16"),
        ("[controllers]\nguidance = { cc = true }\n", "give a table"),
    ],
)
def test_a_file_that_is_no_map_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "midi.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=why) as error:
        MidiMap(path)
    assert str(path) in str(error.value)


def test_controllers_of_the_segment_turn_knobs() -> None:
    with hosting(Beep()) as host:
        session = opened(host, "beep")
        host.midi_map.bind("temperature", Controller("cc", 74))
        host.midi_map.bind("volume", Controller("cc14", 7, 2))
        with Reader(session.name) as reader:
            reader.wait_until_engine_is_ready()
            before = session.revision
            midi(reader, 0, 0xB4, 74, 127)
            midi(reader, 5, 0xB1, 7, 127)
            midi(reader, 5, 0xB1, 39, 127)
            midi(reader, 9, 0xB0, 7, 1)  # another channel's
            reader.render(1.0)
            wait_for(lambda: session.values()["volume"] == 12.0)
            assert session.values()["temperature"] == 4.0
            assert session.revision > before
            assert session.status()["controller"] == {"cc": 7, "channel": 1, "position": 1 / 127, "moves": 4}


def test_clients_read_and_change_the_map(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    knob = {"cc": 74, "channel": 1}
    with serving("test"), ControlClient("test", timeout=10.0) as client:
        assert client.ask("controllers")["controllers"] == {}
        assert client.ask("controllers", parameter="guidance", controller=knob)["controllers"] == {"guidance": knob}
        for wrong in (
            {"parameter": "guidance"},
            {"controller": knob},
            {"parameter": "loudness", "controller": knob},
            {"parameter": "guidance", "controller": {"cc": 120}},
            {"parameter": "guidance", "controller": {"nrpn": -1}},
            {"parameter": "guidance", "controller": [74]},
        ):
            with pytest.raises(ControlError) as error:
                client.ask("controllers", **wrong)
            assert error.value.code == "bad value"
        assert client.ask("controllers")["controllers"] == {"guidance": knob}
        assert client.ask("controllers", parameter="guidance", controller=None)["controllers"] == {}
