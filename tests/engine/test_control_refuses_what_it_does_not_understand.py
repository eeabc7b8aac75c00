"""The control socket: what is understood is done; anything else gets an error reply and changes nothing."""

import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq
from players import playing

from jackdaw.audio import Waveform
from jackdaw.engine.control import MAX_MESSAGE, ControlClient, ControlError, socket_path
from jackdaw.engine.control_server import ControlServer
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.prompts import Prompts


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def server(runtime: Path) -> Iterator[tuple[ControlServer, str]]:
    with playing(Beep()) as (session, name):
        server = ControlServer(session, name, Prompts(session.model))
        server.start()
        yield server, name
        server.close()


def test_every_operation_answers(server: tuple[ControlServer, str], tmp_path: Path) -> None:
    with ControlClient(server[1]) as client:
        assert client.ask("hello")["model"] == "beep"
        assert client.status()["parameters"]["temperature"] == 1.0
        assert client.set(temperature=0.5, top_k=7)["temperature"] == 0.5
        tone = np.sin(np.arange(48000) / 10).astype(np.float32)
        Waveform(tone, 48000).write(tmp_path / "tone.wav")
        client.prompt([{"text": "disco", "weight": 2}, {"audio": str(tmp_path / "tone.wav"), "weight": 1.0}])
        assert [prompt["weight"] for prompt in client.status()["prompts"]] == [2.0, 1.0]
        client.prompt([])
        assert client.status()["prompts"] == []
        client.reset()
        client.reset(5)
        client.stop()


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"op": "nix"}, "unknown op"),
        ({"op": 3}, "bad value"),
        ({"v": 2}, "version"),
        ({"v": True}, "version"),
        ({"id": "one"}, "bad value"),
        ({"id": None}, "bad value"),
        ({"op": "status", "extra": 1}, "bad value"),
        ({"op": "set"}, "bad value"),
        ({"op": "set", "values": {"temperature": 9}}, "bad value"),
        ({"op": "set", "values": {"temperature": float("nan")}}, "bad value"),
        ({"op": "set", "values": {"temperature": True}}, "bad value"),
        ({"op": "set", "values": {"temperature": "1"}}, "bad value"),
        ({"op": "set", "values": {"nix": 1}}, "bad value"),
        ({"op": "set", "values": {"feedback": 0.5, "volume": 1000}}, "bad value"),
        ({"op": "prompt", "prompts": "disco"}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": ""}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "a", "audio": "b"}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "a", "weight": -1}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "a", "weight": float("inf")}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "a"}] * 17}, "bad value"),
        ({"op": "prompt", "prompts": [{"text": "a" * 2000}]}, "bad value"),
        ({"op": "prompt", "prompts": [{"audio": "/nowhere/at/all.wav"}]}, "bad file"),
        ({"op": "prompt", "prompts": [{"audio": "/dev/null"}]}, "bad file"),
        ({"op": "reset", "seed": -1}, "bad value"),
        ({"op": "reset", "seed": "x"}, "bad value"),
    ],
)
def test_wrong_requests_get_their_code_and_change_nothing(
    server: tuple[ControlServer, str], fields: dict[str, Any], code: str
) -> None:
    before = server[0].answer(msgpack.packb({"v": 1, "id": 1, "op": "status"}))["status"]
    reply = server[0].answer(msgpack.packb({"v": 1, "id": 9, "op": "hello", **fields}))
    assert reply["ok"] is False
    assert reply["error"]["code"] == code
    assert len(reply["error"]["text"]) > 10
    after = server[0].answer(msgpack.packb({"v": 1, "id": 1, "op": "status"}))["status"]
    assert (after["parameters"], after["prompts"]) == (before["parameters"], before["prompts"])


def anything(random_: random.Random, depth: int = 0) -> Any:
    """Return a value of any kind that msgpack knows, nested at most five deep."""
    words = [
        "v",
        "id",
        "op",
        "set",
        "values",
        "prompt",
        "prompts",
        "text",
        "temperature",
        "reset",
        "seed",
        "\x00",
        "ü" * 9,
    ]
    kind = random_.randrange(11 if depth < 5 else 8)
    simple = [
        None, random_.random() < 0.5, random_.choice([-(2**63), -1, 0, 1, 2**31, 2**64 - 1]),
        random_.choice([0.0, -1.5, 1e308, float("nan"), float("-inf")]), random_.choice(words), random_.randbytes(9),
        msgpack.ExtType(random_.randrange(128), random_.randbytes(5)), msgpack.Timestamp(random_.randrange(2**31)),
    ]  # fmt: skip
    if kind < 8:
        return simple[kind]
    if kind == 8:
        return [anything(random_, depth + 1) for _ in range(random_.randrange(5))]
    keys = random_.sample(words, random_.randrange(6))
    return {key: anything(random_, depth + 1) for key in keys}


def mangled(random_: random.Random) -> bytes:
    """Return a message that is wrong in one of many ways (or, rarely, right but harmless)."""
    kind = random_.randrange(5)
    if kind == 0:
        return random_.randbytes(random_.randrange(80))
    if kind == 1:
        return bytes(msgpack.packb(anything(random_)))
    if kind == 2:
        message = {"v": 1, "id": 1, "op": random_.choice(["set", "prompt", "reset"])}
        message[random_.choice(["values", "prompts", "seed"])] = anything(random_)
        message[random_.choice(["v", "id", "zz"])] = anything(random_)
        return bytes(msgpack.packb(message))
    good = bytearray(msgpack.packb({"v": 1, "id": 1, "op": "set", "values": {"temperature": 77.0}}))
    if kind == 3:
        return bytes(good[: random_.randrange(len(good))])
    good[random_.randrange(len(good) - 9)] ^= 1 << random_.randrange(8)
    return bytes(good)


def test_five_thousand_malformed_messages_change_nothing(server: tuple[ControlServer, str]) -> None:
    random_ = random.Random(0)
    with ControlClient(server[1]) as client:
        before = client.status()
        refused = 0
        context = zmq.Context()
        socket = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(f"ipc://{socket_path(server[1])}")
        for _ in range(5000):
            socket.send(mangled(random_))
            assert socket.poll(10000), "no reply"
            reply = msgpack.unpackb(socket.recv())
            assert isinstance(reply["ok"], bool)
            refused += not reply["ok"]
        socket.close()
        context.term()
        after = client.status()
    assert refused > 4500
    assert (after["parameters"], after["model"]) == (before["parameters"], before["model"])


def test_a_message_that_is_too_large_is_refused(server: tuple[ControlServer, str]) -> None:
    with ControlClient(server[1]) as client, pytest.raises(ControlError) as caught:
        client.ask("set", values={}, filler="x" * MAX_MESSAGE)
    assert caught.value.code == "too large"


def test_deep_nesting_is_refused(server: tuple[ControlServer, str]) -> None:
    assert server[0].answer(b"\x91" * 100000)["error"]["code"] == "malformed"


def test_only_the_user_can_reach_the_socket(server: tuple[ControlServer, str]) -> None:
    path = socket_path(server[1])
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_others_may_enter_is_refused(runtime: Path) -> None:
    folder = runtime / "jackdaw"
    folder.mkdir()
    os.chmod(folder, 0o755)
    with pytest.raises(ControlError, match="chmod 700"):
        socket_path("jam", make=True)


def test_without_an_engine_the_client_says_so(runtime: Path) -> None:
    with pytest.raises(ControlError, match="no engine plays"):
        ControlClient("nobody")
    socket_path("dead", make=True).touch()
    with ControlClient("dead", timeout=0.1) as client, pytest.raises(ControlError, match="does not answer"):
        client.status()
