"""Sockets belong to the user alone; beyond this machine, only clients with keys on the list get a reply."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq
from engines import ctl, engine_process, serving
from players import wait_for

from jackdaw.engine.protocol.address import TcpAddress, running_engines, socket_path, telemetry_path
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.curve import load_client, make_keys
from jackdaw.engine.protocol.messages import ControlError

_QUIET_S = 0.8


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def free_port() -> int:
    """Return a port that is free, with the next one."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An engine with keys; yields its address and the folder of keys."""
    folder, address = tmp_path / "keys", f"tcp://127.0.0.1:{free_port()}"
    make_keys(folder, "laptop")
    with serving("guarded", listen=address, keys=folder):
        yield address, folder


def replies(kind: int, address: str, **options: bytes) -> int:
    """Return how many messages come from there within a while, by every op asked once."""
    context: zmq.Context[Any] = zmq.Context()
    client = context.socket(kind)
    for name, value in options.items():
        client.setsockopt(getattr(zmq, name), value)
    if kind == zmq.SUB:
        client.setsockopt(zmq.SUBSCRIBE, b"")
    client.connect(address)
    if kind == zmq.DEALER:
        for number, op in enumerate(("hello", "list", "nix", "stop")):
            client.send(msgpack.packb({"v": 1, "id": number, "op": op}))
        client.send(b"")
    count = 0
    while client.poll(int(_QUIET_S * 1e3)):
        client.recv_multipart()
        count += 1
        if count == 5:
            break
    context.destroy(linger=0)
    return count


def test_sockets_are_the_users_alone(runtime: Path) -> None:
    with serving("mine"):
        assert stat.S_IMODE((runtime / "jackdaw").stat().st_mode) == 0o700
        for path in (socket_path("mine"), telemetry_path("mine"), runtime / "jackdaw" / "mine.lock"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list((runtime / "jackdaw").iterdir()) == []


def test_a_folder_that_others_may_enter_is_refused(runtime: Path) -> None:
    (runtime / "jackdaw").mkdir()
    os.chmod(runtime / "jackdaw", 0o755)
    for use in (lambda: socket_path("jam", make=True), lambda: socket_path("jam"), running_engines):
        with pytest.raises(ControlError, match="chmod 700"):
            use()


def test_loopback_needs_no_keys() -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    with serving("open", listen=address), ControlClient(connect=address, timeout=20.0) as client:
        assert client.ask("hello")["telemetry"] == TcpAddress(address).telemetry
        topic, told = next(client.telemetry())
        assert (topic, told["sessions"]) == ("engine", [])


@pytest.mark.parametrize("address", ["tcp://0.0.0.0:5570", "tcp://192.0.2.1:5570", "tcp://[::]:5570"])
def test_any_other_address_is_refused_without_keys(address: str) -> None:
    command = [sys.executable, "-m", "jackdaw", "serve", "--engine", "bare", "--listen", address]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 2
    assert "--keys FOLDER" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "address", ["", "127.0.0.1:5570", "tcp://*:5570", "tcp://host:5570", "tcp://1.2.3.4", "tcp://1.2.3.4:0",
                "tcp://1.2.3.4:65535", "tcp://999.1.1.1:80", "udp://127.0.0.1:5570", "tcp://127.0.0.1:5570/x"],
)  # fmt: skip
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ControlError, match="give tcp://ADDRESS:PORT"):
        TcpAddress(address)


def test_listed_keys_get_in(guarded: tuple[str, Path]) -> None:
    address, folder = guarded
    with ControlClient(connect=address, keys=folder / "laptop.key", timeout=20.0) as client:
        assert client.ask("hello")["engine"] == "guarded"
        assert next(client.telemetry())[0] == "engine"
    result = ctl("list", "--connect", address, "--keys", str(folder / "laptop.key"))
    assert result.returncode == 0, result.stderr


def test_nobody_else_gets_a_single_reply(guarded: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = guarded
    telemetry = TcpAddress(address).telemetry
    public, secret, server = load_client(folder / "laptop.key")
    stranger, strange_secret = zmq.curve_keypair()
    intruders: dict[str, dict[str, bytes]] = {
        "no keys": {},
        "keys that are not on the list": {
            "CURVE_PUBLICKEY": stranger, "CURVE_SECRETKEY": strange_secret, "CURVE_SERVERKEY": server,
        },
        "a listed public key with another secret": {
            "CURVE_PUBLICKEY": public, "CURVE_SECRETKEY": strange_secret, "CURVE_SERVERKEY": server,
        },
        "another server's key": {
            "CURVE_PUBLICKEY": public, "CURVE_SECRETKEY": secret, "CURVE_SERVERKEY": stranger,
        },
        "a user name and a password": {"PLAIN_USERNAME": b"laptop", "PLAIN_PASSWORD": b"laptop"},
    }  # fmt: skip
    for who, options in intruders.items():
        assert replies(zmq.DEALER, address, **options) == 0, who
        assert replies(zmq.SUB, telemetry, **options) == 0, who
    good = {"CURVE_PUBLICKEY": public, "CURVE_SECRETKEY": secret, "CURVE_SERVERKEY": server}
    assert replies(zmq.SUB, telemetry, **good) > 0
    assert replies(zmq.DEALER, address, **good) == 5


def test_the_list_is_read_at_every_handshake(guarded: tuple[str, Path]) -> None:
    address, folder = guarded
    make_keys(folder, "phone")
    with ControlClient(connect=address, keys=folder / "phone.key", timeout=20.0) as client:
        assert client.ask("hello")["ok"]
    (folder / "clients" / "phone.key").unlink()
    with (
        ControlClient(connect=address, keys=folder / "phone.key", timeout=_QUIET_S) as client,
        pytest.raises(ControlError, match="does not let these keys in"),
    ):
        client.ask("hello")


def test_keys_are_secret_and_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    for name in ("one", "two"):
        command = [sys.executable, "-m", "jackdaw", "keys", str(folder), "--client", name]
        assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.count(str(folder)) >= 2
    assert load_client(folder / "one.key")[2] == load_client(folder / "two.key")[2]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("*.key")} == {
        "server.key": 0o600,
        "one.key": 0o600,
        "two.key": 0o600,
    }
    for name in ("one", "server", "../up"):
        with pytest.raises(ControlError):
            make_keys(folder, name)
    os.chmod(folder / "one.key", 0o644)
    with pytest.raises(ControlError, match="chmod 600"):
        load_client(folder / "one.key")


def test_a_port_that_is_taken_is_said() -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with (
            engine_process("late", "--listen", f"tcp://127.0.0.1:{port}") as process,
        ):
            wait_for(lambda: process.poll() is not None)
            assert process.returncode == 1
            assert process.stderr is not None
            assert f"cannot listen on tcp://127.0.0.1:{port}" in process.stderr.read().decode()
