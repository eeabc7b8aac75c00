"""Helpers of these tests: a host with its control server in this process, and engines in processes of their own."""

import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import msgpack
import zmq
from players import wait_for

from jackdaw.cli import main
from jackdaw.engine.host import Host
from jackdaw.engine.protocol.address import is_running, socket_path
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.server import ControlServer
from jackdaw.log import Log


@contextmanager
def serving(engine: str, **options: Any) -> Iterator[tuple[Host, threading.Event]]:
    """Run a host and its server in this process; yield the host, and what is set when a client asks it to stop."""
    stop = threading.Event()
    log = Log("engine", engine)
    host = Host(log=log)
    try:
        server = ControlServer(host, engine, on_stop=stop.set, log=log, **options)
        server.start()
        try:
            yield host, stop
        finally:
            server.close()
    finally:
        host.stop()
    assert server.error is None


def opened(client: ControlClient, session: str, model: str = "beep", **options: Any) -> dict[str, Any]:
    """Open a session, wait until its model is loaded, and make it the client's own."""
    client.session = session
    client.tell("open", model=model, **options)
    wait_for(lambda: client.tell("attach")["phase"] != "loading")
    described = client.tell("attach")
    assert described["phase"] == "ready", described["error"]
    return described


@contextmanager
def engine_process(engine: str, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run ``jackdaw serve`` until it answers; it is terminated at the end."""
    command = [sys.executable, "-m", "jackdaw", "serve", "--engine", engine, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: process.poll() is not None or (is_running(engine) and socket_path(engine).exists()), 60.0)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate()


@dataclass(frozen=True)
class Said:
    """What a command said, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


def ctl(*arguments: str) -> Said:
    """Run ``jackdaw ctl`` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(["ctl", *arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


def ctl_json(*arguments: str) -> dict[str, Any]:
    """Run ``jackdaw ctl --json``, which must succeed; return what it printed."""
    result = ctl(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    value: dict[str, Any] = json.loads(result.stdout)
    return value


class Wire:
    """A bare DEALER: sends what it is told, reads what comes."""

    def __init__(self, engine: str) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(f"ipc://{socket_path(engine)}")

    def send(self, **message: Any) -> None:
        self.socket.send(msgpack.packb({"v": 1, **message}))

    def receive(self, seconds: float = 20.0) -> dict[str, Any]:
        assert self.socket.poll(int(seconds * 1e3)), "no reply"
        reply: dict[str, Any] = msgpack.unpackb(self.socket.recv())
        return reply

    def ask(self, **message: Any) -> dict[str, Any]:
        self.send(**{"id": 1, **message})
        return self.receive()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.destroy(linger=0)
