"""The control protocol: what is understood is done; anything else gets an error reply and changes nothing."""

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from engines import Wire, engine_process, opened, serving
from players import Reader, unique_name

from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.messages import MAX_MESSAGE, OPERATIONS, ControlError, decode, parse

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from fuzz_control import fuzz


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def client(runtime: Path) -> Iterator[ControlClient]:
    with serving("test"), ControlClient("test", timeout=20.0) as client:
        opened(client, unique_name())
        yield client


FLOATS = struct.pack("<4f", 0.1, 0.2, 0.3, 0.4)
TRANSPORT = {"op": "transport", "bpm": 120, "beat": 0, "beats_per_bar": 4, "rolling": True}
STATE = {"op": "state_set", "size": 10, "offset": 0, "data": b"0123456789", "model_hash": "other"}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"op": "nix"}, "unknown op"),
        ({"op": 3}, "bad value"),
        ({"op": None}, "bad value"),
        ({"v": 2}, "version"),
        ({"v": True}, "version"),
        ({"v": 1.0}, "version"),
        ({"id": "one"}, "bad value"),
        ({"id": None}, "bad value"),
        ({"id": False}, "bad value"),
        ({"op": "status", "extra": 1}, "bad value"),
        ({"op": "status", "values": {}}, "bad value"),
        ({"op": "status", "session": "../x"}, "bad value"),
        ({"op": "status", "session": "nobody"}, "no session"),
        ({"op": "close", "session": "nobody"}, "no session"),
        ({"op": "status", "rev": 1}, "bad value"),
        ({"op": "status", "client": "", "rev": 1}, "bad value"),
        ({"op": "status", "client": "a", "rev": 0}, "bad value"),
        ({"op": "set"}, "bad value"),
        ({"op": "set", "values": []}, "bad value"),
        ({"op": "set", "values": {"temperature": 9}}, "bad value"),
        ({"op": "set", "values": {"temperature": float("nan")}}, "bad value"),
        ({"op": "set", "values": {"temperature": True}}, "bad value"),
        ({"op": "set", "values": {"temperature": "1"}}, "bad value"),
        ({"op": "set", "values": {"nix": 1}}, "bad value"),
        ({"op": "set", "values": {"feedback": 0.5, "volume": 1000}}, "bad value"),
        ({"op": "prompt", "prompts": "disco"}, "bad value"),
        ({"op": "prompt", "prompts": ["disco"]}, "bad value"),
        ({"op": "prompt", "prompts": [{}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": ""}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "  "}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "a", "audio": "/b"}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "a", "wieght": 1}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "a", "weight": -1}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "a", "weight": 1.01}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "a", "weight": float("inf")}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "a"}] * 7}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "a" * 1001}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"audio": "relative.wav"}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"audio": "/nowhere/at/all.wav"}]}, "bad file"),
        ({"op": "prompt", "prompts": [{"text": "a"}, {"audio": "/dev/null"}]}, "bad file"),
        ({"op": "prompt", "prompts": [{"samples": FLOATS}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"samples": FLOATS[:-1], "rate": 48000, "channels": 1}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"samples": FLOATS, "rate": 48000, "channels": 3}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"samples": FLOATS, "rate": 1, "channels": 1}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"samples": FLOATS, "rate": 48000, "channels": 1}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"samples": b"\xff" * 8, "rate": 48000, "channels": 1}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "a", "embedding": FLOATS}]}, "bad value"),
        ({"op": "reset", "seed": -1}, "bad value"),
        ({"op": "reset", "seed": 2**63}, "bad value"),
        ({"op": "reset", "seed": "x"}, "bad value"),
        ({"op": "reset", "epoch": 1}, "bad value"),
        ({"op": "notes", "messages": b"\x90\x40\x40"}, "bad value"),
        ({"op": "notes", "messages": [b"\x90\x40"]}, "bad value"),
        ({"op": "notes", "messages": [b"\x90\x40\x80"]}, "bad value"),
        ({"op": "notes", "messages": [b"\x40\x40\x40"]}, "bad value"),
        ({"op": "notes", "messages": [b"\xf0\x40\x40"]}, "bad value"),
        ({"op": "notes", "messages": [b"\x90\x40\x40", b""]}, "bad value"),
        ({"op": "notes", "messages": [b"\x90\x40\x40"] * 257}, "bad value"),
        (TRANSPORT | {"bpm": 29}, "bad value"),
        (TRANSPORT | {"beat": 4}, "bad value"),
        (TRANSPORT | {"beats_per_bar": 4.0}, "bad value"),
        (TRANSPORT | {"rolling": 1}, "bad value"),
        ({"op": "state_get", "snapshot": 99}, "bad value"),
        ({"op": "state_get", "offset": 1}, "bad value"),
        (STATE, "bad value"),
        (STATE | {"size": 2**40}, "bad value"),
        ({"op": "record", "path": "take.flac"}, "bad value"),
        ({"op": "record", "path": "/tmp/take.wav"}, "bad value"),
        ({"op": "record", "path": "/nowhere/take.flac"}, "bad file"),
        ({"op": "open", "session": "Großes Haus"}, "bad value"),
        ({"op": "open", "session": "new", "model": "nix"}, "bad value"),
        ({"op": "open", "session": "new", "hear": "well"}, "bad value"),
        ({"op": "open", "session": "new", "floor_ms": 500, "ceiling_ms": 100}, "bad value"),
        ({"op": "open", "session": "new", "lease_s": 0}, "bad value"),
        ({"op": "open", "model": "beep-ramp"}, "in use"),
        ({"op": "stop", "now": True}, "bad value"),
    ],
)
def test_wrong_requests_get_their_code_and_change_nothing(
    client: ControlClient, fields: dict[str, Any], code: str
) -> None:
    before = client.tell("attach")
    op = fields.get("op", "hello")
    named = {"session": client.session} if op in OPERATIONS and OPERATIONS[op].session else {}
    with Wire("test") as wire:
        reply = wire.ask(**{"id": 9, "op": "hello", **named, **fields})
        assert reply["ok"] is False
        assert reply["error"]["code"] == code
        assert len(reply["error"]["text"]) > 10
        assert reply["id"] == (9 if type(fields.get("id", 9)) is int else 0)
    assert {**client.tell("attach"), "id": 0} == {**before, "id": 0}
    assert [session["session"] for session in client.ask("list")["sessions"]] == [client.session]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x91" * 100_000,
        b"\xdd\xff\xff\xff\xff",
        msgpack.packb([1, 2]),
        msgpack.packb({1: 2}),
        msgpack.packb({b"v": 1, b"id": 1}),
        msgpack.packb({"v": 1, "id": 1, "op": "hello"}) + b"\0",
        b"\x84" + b"\xa1v\x01" + b"\xa2id\x01" + b"\xa2op\xa5hello" * 2,
        b"\x83" + b"\xa1v\x01" + b"\xa2id\x01" + b"\xa2op\xa2\xff\xfe",
    ],
)
def test_what_is_no_map_of_fields_is_malformed(payload: bytes) -> None:
    with pytest.raises(ControlError) as caught:
        parse(decode(payload))
    assert caught.value.code == "malformed"


def test_a_message_of_several_frames_is_malformed(client: ControlClient) -> None:
    with Wire("test") as wire:
        good = msgpack.packb({"v": 1, "id": 1, "op": "stop"})
        for frames in ([good, good], [b"", good], [good, b""], [good] * 500):
            wire.socket.send_multipart(frames)
            assert wire.receive()["error"]["code"] == "malformed"
        assert wire.ask(op="hello")["ok"]


def test_a_message_that_is_too_large_is_refused(client: ControlClient) -> None:
    with pytest.raises(ControlError) as caught:
        client.ask("set", values={}, filler="x" * MAX_MESSAGE)
    assert caught.value.code == "too large"
    with Wire("test") as wire:
        wire.socket.send(b"x" * 3 * MAX_MESSAGE)  # cut off: the connection is made anew
        wire.send(id=5, op="hello")
        assert wire.receive()["id"] == 5


def test_a_pipe_is_no_audio_file(client: ControlClient, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(ControlError) as caught:
        client.prompt([{"audio": str(tmp_path / "pipe.wav")}])
    assert caught.value.code == "bad file"
    assert client.prompt([{"text": "disco"}])["ok"]


def test_an_error_does_not_repeat_all_that_was_wrong(client: ControlClient) -> None:
    for op, fields in (
        ("hello", {"x" * 100_000: ["y" * 100_000]}),
        ("set", {"values": {"x" * 100_000: 1}}),
        ("prompt", {"prompts": [{"text": ["y" * 100_000]}]}),
    ):
        with pytest.raises(ControlError) as caught:
            client.ask(op, **({} if op == "hello" else {"session": client.session}), **fields)  # type: ignore[arg-type]
        assert len(str(caught.value)) < 1100


def test_five_thousand_damaged_messages_change_nothing(runtime: Path) -> None:
    name = unique_name()
    with engine_process("fuzzed") as process, ControlClient("fuzzed", timeout=20.0) as client:
        opened(client, name)
        with Reader(name, block=1024, freewheel=False) as reader:
            reader.wait_until_engine_is_ready()
            figures = fuzz("fuzzed", name, 5000, seed=1)
        assert process.poll() is None
    assert figures["wrong"] == 0, figures["wrong_first"]
    assert figures["parameters_as_granted"]
    assert sum(figures["refused"].values()) > 3000
    assert len(figures["granted"]) == 15
