"""``jackdaw serve`` runs an engine and ``jackdaw ctl`` steers it: exit codes, names, and what happens when it dies."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import ctl, ctl_json, engine_process, opened
from players import Reader, unique_name, wait_for

from jackdaw.dsp import segment_path
from jackdaw.engine.protocol.address import is_running, running_engines, socket_path
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.messages import ControlError


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def engine() -> Iterator["subprocess.Popen[bytes]"]:
    with engine_process("one") as process:
        yield process


def said(process: "subprocess.Popen[bytes]") -> str:
    """Return what an engine that has ended wrote."""
    assert process.stderr is not None
    return process.stderr.read().decode()


def test_the_only_engine_and_session_need_no_name(engine: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    name = unique_name()
    assert ctl_json("list") == {"sessions": []}
    assert ctl_json("open", name, "--model", "beep", "--seed", "3")["seed"] == 3
    assert ctl_json("list")["sessions"][0]["session"] == name
    reply = ctl_json("prompt", "acid house", "--weight", "0.8")
    assert [(prompt["name"], prompt["weight"]) for prompt in reply["prompts"]] == [("acid house", 0.8)]
    reply = ctl_json("prompt", "disco", "rock", "--weight", "3", "--weight", "1")
    assert [prompt["weight"] for prompt in reply["prompts"]] == pytest.approx([1.0, 1 / 3])
    assert ctl_json("set", "temperature=0.5", "volume=-6")["values"]["volume"] == -6.0
    assert ctl_json("status")["status"]["parameters"]["temperature"] == 0.5
    assert ctl_json("reset", "--seed", "5")["revision"] > 0
    assert ctl_json("record", str(tmp_path / "take.flac"))["path"] == str(tmp_path / "take.flac")
    assert ctl_json("record")["path"] is None
    assert "temperature" in {parameter["name"] for parameter in ctl_json("tree")["parameters"]}
    assert "tiny" in {model["name"] for model in ctl_json("models")["models"]}
    watched = ctl("watch", "--json", "--count", "3", "--session", name)
    assert [json.loads(line)["topic"] for line in watched.stdout.splitlines()] == [f"session/{name}"] * 3
    for action in ("list", "models", "tree", "status", "watch --count 1", "set top_k=9", "prompt disco"):
        shown = ctl(*action.split())
        assert (shown.returncode, shown.stderr) == (0, ""), action
        assert shown.stdout.strip(), action
    ctl_json("close")
    assert not segment_path(name).exists()
    ctl_json("stop")
    assert engine.wait(20) == 0
    assert running_engines() == []


def test_what_is_wrong_is_said_with_its_exit_code(engine: "subprocess.Popen[bytes]") -> None:
    assert ctl("status").returncode == 1
    name = unique_name()
    ctl_json("open", name, "--model", "beep")
    for arguments, code, words in (
        (["set", "temperature=9"], 2, "from 0 to 4"),
        (["set", "nix=1"], 2, "temperature"),
        (["set", "temperature"], 2, "NAME=VALUE"),
        (["prompt", "a", "--weight", "1", "--weight", "1"], 2, "2 weights for 1"),
        (["prompt", "--audio", "/nowhere.wav"], 1, "/nowhere.wav"),
        (["record", "take.wav"], 2, "flac"),
        (["open", "x", "--model", "nix"], 2, "tiny"),
        (["open", name, "--model", "beep-ramp"], 1, name),
        (["status", "--session", "nobody"], 1, "nobody"),
        (["status", "--engine", "nobody"], 1, "jackdaw serve"),
        (["status", "--engine", "../x"], 2, "a-z"),
        (["status", "--connect", "tcp://192.0.2.1:5570"], 2, "--keys"),
        (["status", "--connect", "tcp://127.0.0.1:1", "--timeout", "0.2"], 1, "does not answer"),
        (["nix"], 2, "nix"),
    ):
        result = ctl(*arguments)
        assert (result.returncode, "Traceback" in result.stderr) == (code, False), (arguments, result.stderr)
        assert words in result.stderr, arguments


def test_several_engines_or_sessions_must_be_named(engine: "subprocess.Popen[bytes]") -> None:
    one, two = unique_name(), unique_name()
    ctl_json("open", one, "--model", "beep")
    ctl_json("open", two, "--model", "beep")
    result = ctl("status")
    assert result.returncode == 2
    assert one in result.stderr
    assert two in result.stderr
    assert ctl_json("status", "--session", two)["status"]["model"] == "beep"
    with engine_process("two"):
        result = ctl("list")
        assert result.returncode == 2
        assert "one, two" in result.stderr
        assert ctl_json("list", "--engine", "two") == {"sessions": []}


def test_without_an_engine_ctl_says_how_to_start_one() -> None:
    result = ctl("list")
    assert (result.returncode, result.stdout) == (1, "")
    assert "jackdaw serve" in result.stderr


def test_a_second_engine_of_the_name_is_refused(engine: "subprocess.Popen[bytes]") -> None:
    with engine_process("one") as second:
        assert second.wait(20) == 1
        assert "engine 'one' runs already" in said(second)
    assert engine.poll() is None
    assert ctl_json("list") == {"sessions": []}


def test_a_killed_engine_is_told_and_replaced() -> None:
    name = unique_name()
    with engine_process("one") as first:
        client = ControlClient("one", timeout=20.0)
        opened(client, name)
        first.send_signal(signal.SIGKILL)
        first.wait()
        with pytest.raises(ControlError, match="has ended"):
            client.status()
        assert not is_running("one")
        assert socket_path("one").exists()
        with pytest.raises(ControlError, match="no engine named 'one' runs"):
            ControlClient("one")
    with engine_process("one") as second:
        assert client.ask("hello")["pid"] == second.pid
        opened(client, name)
        with Reader(name) as reader:
            reader.wait_until_engine_is_ready()
            assert reader.render(1.0).any()
    client.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_engine_and_leaves_nothing_behind(
    engine: "subprocess.Popen[bytes]", runtime: Path, number: signal.Signals
) -> None:
    name = unique_name()
    ctl_json("open", name, "--model", "beep")
    engine.send_signal(number)
    assert engine.wait(20) == 0
    assert list((runtime / "jackdaw").iterdir()) == []
    assert not segment_path(name).exists()


def test_an_unused_engine_ends() -> None:
    name = unique_name()
    with engine_process("one", "--until-unused", "1") as process:
        ctl_json("open", name, "--model", "beep")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        ctl_json("close")
        assert process.wait(20) == 0


def test_a_lease_ends_a_session_nobody_uses() -> None:
    name = unique_name()
    with engine_process("one", "--until-unused", "1") as process, ControlClient("one", timeout=20.0) as client:
        opened(client, name, lease_s=1)
        with Reader(name, freewheel=False) as reader:
            reader.wait_until_engine_is_ready()
            reader.render(3.0, paced=True)
            assert [session["session"] for session in client.ask("list")["sessions"]] == [name]
        wait_for(lambda: not is_running("one"))
        assert process.wait(20) == 0


def test_wrong_usage_of_serve_is_said() -> None:
    for arguments, words in (
        (["--engine", "Big One"], "a-z"),
        (["--until-unused", "-1"], "0 to 86400"),
        (["--keys", "/nowhere"], "--listen"),
        (["--listen", "tcp://127.0.0.1:5570", "--keys", "/nowhere"], "jackdaw keys"),
    ):
        command = [sys.executable, "-m", "jackdaw", "serve", *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert result.returncode in (1, 2), arguments
        assert words in result.stderr, arguments
        assert "Traceback" not in result.stderr


def test_the_engine_of_a_jam_speaks_the_same() -> None:
    name = unique_name()
    command = [sys.executable, "-m", "jackdaw.engine", "--session", name, "--model", "beep", "--prompt", "disco:2"]
    process = subprocess.Popen([*command, "--set", "temperature=0.5"], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: is_running(name) and socket_path(name).exists(), 60.0)
        described = ctl_json("open", name, "--model", "beep", "--engine", name)
        assert described["values"]["temperature"] == 0.5
        assert [prompt["name"] for prompt in described["prompts"]] == ["disco"]
        assert ctl_json("list")["sessions"][0]["session"] == name
        ctl_json("stop")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_the_example_is_a_client_of_its_own() -> None:
    script = Path(__file__).resolve().parents[2] / "examples" / "04_control.py"
    assert len(script.read_text().splitlines()) < 60
    assert "jackdaw." not in script.read_text().replace("jackdaw serve", "")
    missing = subprocess.run([sys.executable, script, "disco", "beep"], capture_output=True, text=True, check=False)
    assert missing.returncode == 1
    with engine_process("engine"):
        done = subprocess.run([sys.executable, script, "disco", "beep"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.count("session/example") == 10
        assert ctl_json("list") == {"sessions": []}
