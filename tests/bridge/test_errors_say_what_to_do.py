"""Promise: what goes wrong at the start is said in a sentence that names the thing and the way out; nothing is left."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from studio import wait_until

from jackdaw.bridge.server import PrivateServer, ServerError, find_server


def _bridge(*arguments):
    command = [sys.executable, "-m", "jackdaw.bridge", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    return done.returncode, lines[-1]


def test_no_server():
    code, last = _bridge("--server", "nobody-here")
    assert (code, last["level"]) == (1, "error")
    for part in ("'nobody-here' not running", "jackd -d alsa", "jackdaw jam --private-server"):
        assert part in last["text"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--session", "A b"], "'A b'"),
        (["--record", "take.wav"], "take.wav"),
        (["--what"], "--what"),
    ],
)
def test_usage(arguments, word):
    code, last = _bridge(*arguments)
    assert (code, last["level"]) == (2, "error")
    assert word in last["text"]


@pytest.mark.jack
def test_session_in_use(studio):
    room = studio()
    room.start_server()
    room.start_engine()
    room.start_bridge("--no-connect")
    room.wait_for_sound()
    code, last = _bridge("--session", room.session, "--server", room.session)
    assert code == 1
    assert room.session in last["text"]
    assert "--session" in last["text"]
    assert room.bridge.alive


@pytest.mark.jack
def test_recording_into_nowhere(studio, tmp_path):
    room = studio()
    room.start_server()
    path = tmp_path / "missing" / "take.flac"
    code, last = _bridge("--session", room.session, "--server", room.session, "--record", str(path))
    assert code == 1
    assert str(path) in last["text"]


@pytest.mark.parametrize("wrong", [{"rate": 1}, {"period": 100}, {"period": 1 << 20}, {"name": "a b"}])
def test_server_arguments(wrong):
    with pytest.raises(ServerError):
        PrivateServer(**wrong)


def test_no_jackd(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServerError, match=r"jackd is not installed.*apt install jackd2"):
        PrivateServer().start()


@pytest.mark.jack
def test_server_that_cannot_start():
    server = PrivateServer(driver="alsa", name=f"no-card-{os.getpid()}")
    with pytest.raises(ServerError, match="did not start"):
        server.start()
    assert find_server(server.name) is None


@pytest.mark.jack
def test_private_server_ends_with_its_owner():
    script = (
        "import time; from jackdaw.bridge.server import PrivateServer\n"
        f"with PrivateServer(name='orphan-{os.getpid()}') as s: print(s.pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    pid = int(owner.stdout.readline())
    assert find_server(f"orphan-{os.getpid()}")
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    wait_until("the server's end", lambda: not os.path.exists(f"/proc/{pid}") or _is_zombie(pid), 10)
    time.sleep(0.05)
    assert find_server(f"orphan-{os.getpid()}") is None


def _is_zombie(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "Z"
