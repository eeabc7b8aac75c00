"""The control protocol: what each operation promises, revisions, order, limits, telemetry."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from engines import Wire, opened, serving
from players import Reader, unique_name, wait_for

from jackdaw import __version__
from jackdaw.audio import Waveform
from jackdaw.dsp import segment_path
from jackdaw.engine.host import Host
from jackdaw.engine.parameters import PARAMETERS
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.desk import BURST, Desk
from jackdaw.engine.protocol.messages import OPERATIONS, ControlError, Request
from jackdaw.engine.protocol.revisions import CLIENTS
from jackdaw.engine.protocol.transfers import PART
from jackdaw.engine.weights.registry import MODELS

Served = tuple[ControlClient, Host, threading.Event]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with serving("test") as (host, stop), ControlClient("test", timeout=20.0) as client:
        yield client, host, stop


@pytest.fixture
def client(served: Served) -> ControlClient:
    opened(served[0], unique_name())
    return served[0]


# ---- the engine ----------------------------------------------------------------------------------------------------


def test_hello_tells_what_there_is(client: ControlClient) -> None:
    hello = client.ask("hello")
    assert (hello["engine"], hello["version"], hello["protocol"]) == ("test", __version__, 1)
    assert hello["ops"] == list(OPERATIONS)
    assert hello["telemetry"].startswith("ipc://")
    assert hello["limits"]["message"] == 1 << 20
    models = {model["name"]: model for model in client.ask("models")["models"]}
    assert set(models) == set(MODELS)
    assert models["tiny"]["installed"]
    assert all(model["summary"] for model in models.values())


def test_tree_lists_every_parameter(client: ControlClient) -> None:
    tree = client.ask("tree")["parameters"]
    assert [parameter["name"] for parameter in tree] == list(PARAMETERS)
    fields = {"name", "minimum", "maximum", "default", "unit", "taper", "integer", "help"}
    assert all(set(parameter) >= fields for parameter in tree)
    assert client.tell("attach")["values"] == {parameter["name"]: parameter["default"] for parameter in tree}


def test_stop_asks_the_engine_to_end(served: Served) -> None:
    assert not served[2].is_set()
    served[0].ask("stop")
    assert served[2].wait(20)


# ---- sessions ------------------------------------------------------------------------------------------------------


def test_open_makes_a_session_once(served: Served) -> None:
    client, name = served[0], unique_name()
    first = client.ask("open", session=name, model="beep", seed=7)
    assert Path(first["segment"]) == segment_path(name)
    assert segment_path(name).exists()
    again = client.ask("open", session=name, model="beep", seed=8)
    assert again["seed"] == 7
    with pytest.raises(ControlError) as caught:
        client.ask("open", session=name, model="beep-ramp")
    assert caught.value.code == "in use"
    wait_for(lambda: client.ask("attach", session=name)["phase"] == "ready")
    ready = client.ask("attach", session=name)
    assert ready["spec"]["sample_rate"] == 48000
    assert ready["model_hash"]
    assert not ready["error"]
    assert client.ask("list")["sessions"] == [{"session": name, "model": "beep", "phase": "ready", "reader": False}]
    client.ask("close", session=name)
    assert client.ask("list")["sessions"] == []
    assert not segment_path(name).exists()


def test_there_are_sixteen_at_most(served: Served) -> None:
    client, stem = served[0], unique_name()[:16]
    for number in range(16):
        client.ask("open", session=f"{stem}-{number}", model="beep")
    with pytest.raises(ControlError) as caught:
        client.ask("open", session=f"{stem}-16", model="beep")
    assert caught.value.code == "full"
    client.ask("close", session=f"{stem}-3")
    client.ask("open", session=f"{stem}-16", model="beep")


def test_a_reader_is_listed(client: ControlClient) -> None:
    assert client.session is not None
    with Reader(client.session) as reader:
        reader.wait_until_engine_is_ready()
        wait_for(lambda: bool(client.ask("list")["sessions"][0]["reader"]))


def test_prompts_are_embedded_once_and_can_be_given_again(client: ControlClient, tmp_path: Path) -> None:
    tone = np.sin(np.arange(48000) / 10).astype(np.float32)
    Waveform(tone, 48000).write(tmp_path / "tone.wav")
    reply = client.prompt(
        [
            {"text": "disco", "weight": 0.25},
            {"audio": str(tmp_path / "tone.wav")},
            {"samples": tone.tobytes(), "rate": 48000, "channels": 1, "name": "a tone"},
        ]
    )
    assert [prompt["weight"] for prompt in reply["prompts"]] == [0.25, 1.0, 1.0]
    assert [prompt["name"] for prompt in reply["prompts"]] == ["disco", str(tmp_path / "tone.wav"), "a tone"]
    assert [reply["values"][f"weight_{index}"] for index in (1, 2, 3)] == [0.25, 1.0, 1.0]
    described = client.tell("attach")
    assert described["prompts"] == reply["prompts"]
    size = described["spec"]["style_size"]
    kept = [prompt["embedding"] for prompt in reply["prompts"]]
    assert [len(embedding) for embedding in kept] == [4 * size] * 3
    fitting = {"embedding": kept[1], "model_hash": described["model_hash"]}
    other = {"embedding": kept[1], "model_hash": "other weights"}
    again = client.prompt([{"text": "disco", **fitting}, {"text": "disco", **other}])["prompts"]
    assert [prompt["embedding"] for prompt in again] == [kept[1], kept[0]]
    assert client.prompt([])["prompts"] == []


def test_set_changes_all_or_none(client: ControlClient) -> None:
    assert client.set(temperature=0.5, top_k=7.4)["top_k"] == 7.0
    with pytest.raises(ControlError, match="feedback"):
        client.set(temperature=0.7, feedback=2.0)
    assert client.tell("attach")["values"]["temperature"] == 0.5


def test_reset_begins_an_epoch_and_tells_which(client: ControlClient) -> None:
    assert client.session is not None
    with Reader(client.session) as reader:
        reader.wait_until_engine_is_ready()
        first = client.tell("reset", seed=3, epoch=True)["epoch"]
        assert client.tell("reset", epoch=True)["epoch"] == first + 1
    assert client.tell("reset")["ok"]


def test_notes_tell_what_is_held(client: ControlClient) -> None:
    assert client.tell("notes", messages=[b"\x90\x3c\x64", b"\x90\x40\x64"])["held"] == [60, 64]
    assert client.tell("notes", messages=[b"\x80\x3c\x00", b"\xb0\x01\x10", b"\xe0\x00\x40"])["held"] == [64]
    assert client.tell("notes", messages=[b"\x90\x40\x00"])["held"] == []


def test_transport_is_taken(client: ControlClient) -> None:
    assert client.tell("transport", bpm=120, beat=2.5, beats_per_bar=4, rolling=True)["ok"]


def test_a_state_goes_out_and_comes_back_in_parts(client: ControlClient) -> None:
    first = client.tell("state_get")
    blob = first["data"]
    while len(blob) < first["size"]:
        blob += client.tell("state_get", snapshot=first["snapshot"], offset=len(blob))["data"]
    assert client.tell("state_get", snapshot=first["snapshot"], offset=10)["data"] == blob[10:][:PART]
    half = len(blob) // 2
    common = {"size": len(blob), "model_hash": first["model_hash"]}
    assert client.tell("state_set", offset=0, data=blob[:half], **common)["done"] is False
    with pytest.raises(ControlError, match="does not follow"):
        client.tell("state_set", offset=half + 1, data=blob[half + 1 :], **common)
    assert client.tell("state_set", offset=half, data=blob[half:], **common)["done"] is True
    with pytest.raises(ControlError, match="weights"):
        client.tell("state_set", offset=0, data=blob, size=len(blob), model_hash="other")
    with pytest.raises(ControlError) as caught:
        client.tell("state_set", offset=0, data=b"x" * len(blob), **common)
    assert caught.value.code == "bad value"


def test_recording_never_overwrites(client: ControlClient, tmp_path: Path) -> None:
    path = tmp_path / "take.flac"
    assert client.tell("record", path=str(path))["path"] == str(path)
    assert client.tell("record")["path"] is None
    path.write_bytes(b"mine")
    with pytest.raises(ControlError) as caught:
        client.tell("record", path=str(path))
    assert caught.value.code == "bad file"
    assert path.read_bytes() == b"mine"


# ---- revisions -----------------------------------------------------------------------------------------------------


def test_a_request_sent_again_is_applied_once(client: ControlClient) -> None:
    who = {"client": "me", "rev": 5}
    first = client.tell("set", values={"temperature": 0.5}, **who)
    client.set(temperature=0.9)
    again = client.tell("set", values={"temperature": 0.5}, **who)
    assert "applied" not in first
    assert {**again, "id": 0} == {**first, "id": 0, "applied": False}
    assert client.tell("set", values={"temperature": 0.1}, client="me", rev=4)["applied"] is False
    assert client.tell("attach")["values"]["temperature"] == 0.9
    assert "applied" not in client.tell("set", values={"temperature": 0.2}, client="me", rev=6)
    assert "applied" not in client.tell("set", values={"temperature": 0.3}, client="other", rev=1)
    assert "applied" not in client.tell("reset", client="me", rev=1)


def test_a_refused_request_may_come_again(client: ControlClient) -> None:
    with pytest.raises(ControlError):
        client.tell("set", values={"temperature": 50}, client="me", rev=1)
    assert "applied" not in client.tell("set", values={"temperature": 2}, client="me", rev=1)


def test_replies_over_a_new_connection_are_the_same(client: ControlClient) -> None:
    request = {"op": "prompt", "session": client.session, "client": "me", "rev": 1, "prompts": [{"text": "disco"}]}
    with Wire("test") as one, Wire("test") as two:
        for wire in (one, two, one):
            wire.send(id=1, **request)
        replies = [one.receive(), two.receive(), one.receive()]
    assert sum(reply.get("applied", True) for reply in replies) == 1
    assert len({str(reply["prompts"]) for reply in replies}) == 1


def test_every_change_counts(client: ControlClient) -> None:
    seen = [client.tell("attach")["revision"]]
    seen.append(client.tell("set", values={"temperature": 0.5})["revision"])
    seen.append(client.prompt([{"text": "disco"}])["revision"])
    seen.append(client.tell("reset")["revision"])
    assert seen == sorted(set(seen))
    assert client.tell("status")["revision"] == seen[-1]


def test_a_session_that_is_opened_anew_counts_anew(client: ControlClient) -> None:
    assert client.session is not None
    client.tell("set", values={"temperature": 0.5}, client="me", rev=9)
    client.tell("close")
    opened(client, client.session)
    assert "applied" not in client.tell("set", values={"temperature": 0.5}, client="me", rev=1)


def test_the_clients_that_asked_longest_ago_are_forgotten_first(client: ControlClient) -> None:
    def applied(number: int) -> bool:
        reply = client.tell("set", values={"temperature": 1}, client=f"client {number}", rev=1)
        return bool(reply.get("applied", True))

    assert all(applied(number) for number in range(CLIENTS + 1))
    assert not applied(CLIENTS)
    assert not applied(1)
    assert applied(0)


# ---- order and limits ----------------------------------------------------------------------------------------------


def test_replies_come_in_the_order_of_the_requests(client: ControlClient) -> None:
    with Wire("test") as wire:
        for number in range(1, 300):
            if number % 3:
                wire.send(id=number, op="set", session=client.session, values={"temperature": number / 100})
            else:
                wire.send(id=number, op="prompt", session=client.session, prompts=[{"text": f"style {number}"}])
        replies = [wire.receive() for _ in range(1, 300)]
    assert [reply["id"] for reply in replies] == list(range(1, 300))
    assert all(reply["ok"] for reply in replies)


def test_what_takes_long_holds_up_its_own_connection_only() -> None:
    release, replies = threading.Event(), []

    def answer(request: Request, _key: object) -> bytes:
        if request.operation.slow:
            assert release.wait(20)
        return str(request.number).encode()

    desk = Desk(answer, lambda number, code, _: f"{number} {code}".encode(), lambda key, reply: replies.append(reply))
    try:

        def ask(key: str, number: int, op: str) -> None:
            desk.take(key, msgpack.packb({"v": 1, "id": number, "op": op, "session": "s"}))

        ask("slow", 1, "close")
        ask("slow", 2, "status")
        ask("quick", 3, "status")
        assert replies == [b"3"]
        release.set()
        wait_for(lambda: bool(desk._done))
        desk.finish()
        assert replies == [b"3", b"1", b"2"]
    finally:
        release.set()
        desk.close()


def test_what_waits_for_the_worker_is_bounded() -> None:
    release, replies = threading.Event(), []

    def answer(_request: Request, _key: object) -> bytes:
        assert release.wait(20)
        return b"done"

    desk = Desk(answer, lambda _, code, __: code.encode(), lambda _, reply: replies.append(reply))
    try:
        for key in range(100):
            desk.take(key, msgpack.packb({"v": 1, "id": 1, "op": "close", "session": "s"}))
        assert set(replies) == {b"too fast"}
        assert 30 <= len(replies) <= 36
        release.set()
        wait_for(lambda: len(desk._done) == 100 - len(replies))
    finally:
        release.set()
        desk.close()


def test_a_flood_is_refused_and_others_are_heard(client: ControlClient) -> None:
    with Wire("test") as wire:
        for number in range(1, BURST + 401):
            wire.send(id=number, op="hello")
        assert client.ask("hello")["ok"]
        replies = [wire.receive() for _ in range(BURST + 400)]
        refused = [reply for reply in replies if not reply["ok"]]
        assert {reply["error"]["code"] for reply in refused} == {"too fast"}
        assert {reply["id"] for reply in replies} == set(range(1, BURST + 401))
        assert len(refused) >= 100
        wait_for(lambda: bool(wire.ask(op="hello")["ok"]))


def test_who_does_not_read_replies_does_not_stop_others(client: ControlClient) -> None:
    with Wire("test") as wire:
        for number in range(1, BURST):
            wire.send(id=number, op="tree")
        for _ in range(50):
            assert client.ask("hello")["ok"]


# ---- telemetry -----------------------------------------------------------------------------------------------------


def test_telemetry_comes_ten_times_a_second(client: ControlClient) -> None:
    told: dict[str, list[dict[str, Any]]] = {}
    begun = time.monotonic()
    for topic, message in client.telemetry():
        told.setdefault(topic, []).append(message)
        if len(told.get(f"session/{client.session}", [])) == 20:
            break
    assert time.monotonic() - begun > 1.0  # 1.9 s; never all at once
    last = told[f"session/{client.session}"][-1]
    status = client.status()
    assert set(status) <= set(last)
    assert (last["phase"], last["revision"]) == ("ready", client.tell("attach")["revision"])
    assert told["engine"][0]["sessions"] == [client.session]
