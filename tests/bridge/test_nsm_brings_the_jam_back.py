"""Promise: a jam that a session manager saved comes back, and plays on as if it had never stopped.

The manager is nsmd where there is one. Debian 12 has no package of it, so there a few lines that say what nsmd says
stand for it: they launch the program by its bare name, answer its announcement, and ask it to save.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder
from studio import wait_until

from jackdaw.engine.protocol.address import running_engines
from jackdaw.engine.protocol.client import ControlClient

_RATE = 48000


def datagram(address, *values):
    builder = OscMessageBuilder(address)
    for value in values:
        builder.add_arg(value)
    return builder.build().dgram


class Ear:
    """A socket that keeps what it was told, until `said` looks for it."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.heard = []
        self.sender = None
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while True:
            try:
                data, sender = self.socket.recvfrom(65536)
            except OSError:
                return
            message = OscMessage(data)
            if message.address == "/nsm/server/announce":
                self.sender = sender
            self.heard.append((message.address, *message))

    def wait(self, *start):
        """Wait for a message that starts so; forget it and what came before."""
        found = wait_until(
            f"{start}; there was {self.heard}", lambda: [m for m in self.heard if m[: len(start)] == start], 90.0
        )[0]
        del self.heard[: self.heard.index(found) + 1]
        return found


class Nsmd:
    """The real one."""

    def __init__(self, root, environment):
        self.ear = Ear()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(("", 0))
            self.port = free.getsockname()[1]
        command = ["nsmd", "--session-root", str(root), "--osc-port", str(self.port), "--quiet"]
        with (root / "nsmd.log").open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        ports = Path("/proc/net/udp")
        wait_until("nsmd", lambda: f":{self.port:04X} " in ports.read_text())

    def ask(self, address, *values):
        self.ear.socket.sendto(datagram(address, *values), ("127.0.0.1", self.port))

    def begin(self):
        self.ask("/nsm/server/new", "evening")
        self.ear.wait("/reply", "/nsm/server/new")
        self.ask("/nsm/server/add", "jackdaw")
        self.ear.wait("/reply", "/nsm/server/add")

    def save(self):
        self.ask("/nsm/server/save")
        self.ear.wait("/reply", "/nsm/server/save")

    def open_again(self):
        self.ask("/nsm/server/abort")
        self.ear.wait("/reply", "/nsm/server/abort")
        self.ask("/nsm/server/open", "evening")

    def end(self):
        self.ask("/nsm/server/abort")
        self.process.terminate()
        self.process.wait(20.0)
        self.ear.socket.close()


class StandIn:
    """Says to one client what nsmd says."""

    def __init__(self, root, environment):
        self.ear = Ear()
        self.root, self.process = root, None
        self.environment = environment | {"NSM_URL": f"osc.udp://127.0.0.1:{self.ear.port}/"}

    def begin(self):
        self.process = subprocess.Popen(["jackdaw"], env=self.environment, stdout=subprocess.DEVNULL)
        announced = self.ear.wait("/nsm/server/announce")
        assert announced[1:] == ("jackdaw", ":dirty:message:", "jackdaw", 1, 1, self.process.pid)
        self.tell("/reply", "/nsm/server/announce", "hello", "stand-in", ":server-control:")
        self.tell("/nsm/client/open", str(self.root / "evening" / "jackdaw.nTEST"), "evening", "jackdaw.nTEST")
        self.ear.wait("/reply", "/nsm/client/open")

    def tell(self, address, *values):
        self.ear.socket.sendto(datagram(address, *values), self.ear.sender)

    def save(self):
        self.tell("/nsm/client/save")
        self.ear.wait("/reply", "/nsm/client/save")

    def open_again(self):
        self.process.wait(20.0)
        self.begin()

    def end(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20.0)
        self.ear.socket.close()


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the jam a program to be started as, and folders of its own."""
    program = tmp_path / "bin" / "jackdaw"
    program.parent.mkdir()
    options = f'jam --private-server --no-connect --target-ms 1000 --record "{tmp_path}/take-$$.flac"'
    bare = f"if [ $# = 0 ]; then set -- {options}; fi"
    program.write_text(f'#!/bin/sh\n{bare}\nexec "{sys.executable}" -m jackdaw "$@"\n')
    program.chmod(0o755)
    for name in ("run", "state", "nsm"):
        (tmp_path / name).mkdir(mode=0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture
def manager(places):
    kind = Nsmd if shutil.which("nsmd") else StandIn
    one = kind(places / "nsm", dict(os.environ))
    yield one
    one.end()


def playing(seconds):
    """Wait until the jam has played so long; return a client of it."""

    def found():
        names = [name for name in running_engines() if name.startswith("jackdaw-")]
        return names[0] if names else None

    name = wait_until("an engine", found, 90.0)
    client = ControlClient(name, name, timeout=20.0)
    wait_until("music", lambda: client.status()["phase"] == "ready" and client.status()["played_s"] >= seconds, 90.0)
    return client


def pid_of_jam(client):
    engine = client.ask("hello")["pid"]
    return int(Path(f"/proc/{engine}/stat").read_text().rpartition(")")[2].split()[1])


def kill(client):
    """Kill the jam's supervisor; its children end with it, and finish the recording."""
    os.kill(pid_of_jam(client), signal.SIGKILL)
    client.close()
    wait_until("no engine", lambda: not [name for name in running_engines() if name.startswith("jackdaw-")], 30.0)


@pytest.mark.slow
@pytest.mark.jack
def test_a_killed_jam_comes_back_and_plays_on(places, manager):
    manager.begin()
    with playing(1.0) as client:
        client.prompt([{"text": "slow blues"}])
        client.set(temperature=0.9)
        played = client.status()["played_s"]
        wait_until("music", lambda: client.status()["played_s"] > played + 2.0)
        manager.save()
        kept = client.tell("attach")
        played = client.status()["played_s"]
        wait_until("music", lambda: client.status()["played_s"] > played + 14.0)
        assert client.status()["underruns_after_start"] == 0
        kill(client)
    first, _ = soundfile.read(
        wait_until("a recording", lambda: list(places.glob("take-*[0-9].flac")))[0], dtype="int32"
    )
    manager.open_again()
    with playing(11.0) as client:
        again = client.tell("attach")
        assert {key: again[key] for key in ("values", "prompts", "seed")} == {
            key: kept[key] for key in ("values", "prompts", "seed")
        }
        assert client.status()["underruns_after_start"] == 0
        kill(client)
    newest = max(places.glob("take-*[0-9].flac"), key=lambda path: path.stat().st_mtime)
    second, _ = soundfile.read(newest, dtype="int32")
    fade = _RATE // 50  # the client fades in
    goes_on = second[fade : fade + 10 * _RATE]
    assert np.abs(goes_on).max() > 1 << 24  # it sounds
    begins = np.flatnonzero((first == goes_on[0]).all(axis=1))
    assert any(np.array_equal(first[at : at + len(goes_on)], goes_on) for at in begins)


def test_without_an_answer_the_jam_goes_on_alone(places):
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    environment = os.environ | {"NSM_URL": f"osc.udp://127.0.0.1:{silent.getsockname()[1]}/"}
    command = ["jackdaw", "jam", "--server", "nobody-here"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert "no session manager answers" in ended.stdout
    assert "'nobody-here' not running" in ended.stderr


def test_an_address_that_is_none_is_refused(places):
    ended = subprocess.run(
        ["jackdaw"], env=os.environ | {"NSM_URL": "studio"}, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "osc.udp://host:port/" in ended.stderr
