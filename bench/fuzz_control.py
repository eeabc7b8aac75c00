"""``bench/fuzz_control.py``: an engine under 100,000 damaged messages, while it plays.

Starts an engine of its own, plays one of its sessions in real time, and sends what :mod:`_fuzz` makes over many
connections, since each may send 400 at once. Prints progress, and as the last line JSON: messages sent, granted and
refused by code, wrong replies, whether the parameters are what the granted requests made them, whether the engine and
its session still play, and the engine's memory after the first tenth and at the end.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _results
import msgpack
import numpy as np
import zmq
from _fuzz import Fuzzer, Oracle
from rich.progress import track

from jackdaw.dsp import SegmentReader
from jackdaw.engine.protocol.address import socket_path
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.messages import ControlError

__all__ = ["Player", "engine", "fuzz"]

_ENGINE = "fuzz"
_SESSION = "victim"
_AT_ONCE = 390
_WINDOW = 30
_REPLY_MS = 20000


@contextlib.contextmanager
def engine(name: str = _ENGINE) -> Iterator["subprocess.Popen[bytes]"]:
    """Run an engine; kill it at the end if it does not stop by itself."""
    command = [sys.executable, "-m", "jackdaw", "serve", "--engine", name]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60.0
        while not socket_path(name).exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Player:
    """Plays a session in real time, as a sound card would, until :meth:`close`."""

    def __init__(self, session: str, rate: int = 48000, block: int = 1024) -> None:
        self._segment = SegmentReader.attach(session)
        self._segment.set_reader(rate, block)
        self._segment.arm(True)
        self._period, self._block = block / rate, block
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _play(self) -> None:
        silence = np.zeros((self._block, 2), np.float32)
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            self._segment.renderer.render(silence, self._block)
            self._segment.heartbeat()
            due += self._period

    def close(self) -> None:
        """Stop playing and let the session go."""
        self._over.set()
        self._thread.join()
        self._segment.close()


def _memory(client: ControlClient, pid: int) -> float:
    """Return an engine's resident memory in MB, with no session open but the client's own."""
    for session in client.ask("list")["sessions"]:
        if session["session"] != client.session:
            with contextlib.suppress(ControlError):  # its lease may be over just now
                client.ask("close", session=session["session"])
    time.sleep(0.5)
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def fuzz(name: str, session: str, count: int, seed: int = 0, *, pid: int | None = None) -> dict[str, Any]:
    """Send `count` messages to the engine of that name; return the figures.

    Parameters
    ----------
    name, session
        Of the engine, and of a session of the model ``beep`` that is open there.
    count
        Messages.
    seed
        Equal seed, equal messages.
    pid
        Of the engine, to watch its memory.
    """
    address = f"ipc://{socket_path(name)}"
    begun = time.monotonic()
    with ControlClient(name, session, timeout=20.0) as client:
        tree = client.ask("tree")["parameters"]
        fuzzer, oracle = Fuzzer(session, tree, seed), Oracle(session, client.tell("attach"), tree)
        memory = []
        context: zmq.Context[Any] = zmq.Context()
        for first in track(range(0, count, _AT_ONCE), "fuzzing", disable=not sys.stdout.isatty()):
            socket = context.socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(address)
            left = min(_AT_ONCE, count - first)
            while left:
                batch = [fuzzer.message() for _ in range(min(_WINDOW, left))]
                left -= len(batch)
                for frames, _ in batch:
                    socket.send_multipart(frames)
                for frames, meant in batch:
                    if not socket.poll(_REPLY_MS):
                        raise RuntimeError(f"no reply to {frames!r:.300} within {_REPLY_MS / 1e3:g} s")
                    oracle.judge(frames, meant, msgpack.unpackb(socket.recv()))
            socket.close()
            if pid is not None and not memory and first >= count // 10:
                memory.append(_memory(client, pid))
        context.term()
        if pid is not None:
            memory.append(_memory(client, pid))
        steps = client.status()["steps"]
        time.sleep(0.5)
        status = client.status()
        agrees = oracle.agrees(client.tell("attach"))
    return {
        "messages": count,
        "seconds": round(time.monotonic() - begun, 1),
        "granted": dict(oracle.granted),
        "refused": dict(oracle.refused),
        "wrong": len(oracle.wrong),
        "wrong_first": oracle.wrong[:3],
        "parameters_as_granted": agrees,
        "still_plays": status["reader_alive"] and status["steps"] > steps,
        "underruns_after_start": status["underruns_after_start"],
        "memory_mb": [round(each, 1) for each in memory],
    }


def main() -> int:
    """Run the fuzzer against an engine of its own."""
    parser = argparse.ArgumentParser(description="An engine under damaged messages.")
    parser.add_argument("--messages", type=int, default=100_000, help="how many (default: 100000)")
    parser.add_argument("--seed", type=int, default=0, help="equal seed, equal messages (default: 0)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        session = f"{_SESSION}-{os.getpid()}"
        with engine() as process:
            with ControlClient(_ENGINE, session, timeout=20.0) as client:
                client.tell("open", model="beep")
                while client.tell("attach")["phase"] == "loading":
                    time.sleep(0.05)
            player = Player(session)
            try:
                time.sleep(2.0)
                figures = fuzz(_ENGINE, session, arguments.messages, arguments.seed, pid=process.pid)
                figures["crashes"] = int(process.poll() is not None)
            finally:
                player.close()
    _results.append("fuzz_control", figures)
    print(json.dumps(figures))
    good = not figures["crashes"] and not figures["wrong"] and figures["parameters_as_granted"]
    return 0 if good and figures["still_plays"] else 1


if __name__ == "__main__":
    sys.exit(main())
