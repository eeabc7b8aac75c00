"""A room for plugin hosts: an engine of its own (by its runtime folder), and hosts in processes of their own."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from hosts import VST3
from studio import Observer, Process, wait_until

from jackdaw.dsp import segment_path
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.messages import ControlError

_HOSTS = Path(__file__).resolve().parent / "hosts.py"


LV2_URI = "urn:jackdaw-live:plugin"
_RATES = (44100, 48000, 88200, 96000, 176400, 192000)


def cases(count: int) -> Iterator[dict[str, int]]:
    """Return random formats, the same each time."""
    generator = np.random.default_rng(7)
    for _ in range(count):
        rate = int(generator.choice(_RATES))
        # small blocks are as likely as large ones; single frames take long, so they come with short renders
        block = int(np.exp(generator.uniform(0.0, np.log(8192.999))))
        frames = max(rate // 4, 3 * block) if block > 8 else rate // 20
        yield {
            "rate": rate,
            "block": block,
            "channels": int(generator.integers(1, 3)),
            "frames": frames,
            "at": int(generator.integers(rate // 100, frames - rate // 100)),
        }


class Room:
    """An engine's runtime folder, and what runs in it."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder = folder
        self.runtime = Path(tempfile.mkdtemp(prefix="jdp-", dir="/tmp"))  # sockets want short paths
        self.environment = {
            **os.environ,
            "XDG_RUNTIME_DIR": str(self.runtime),
            "XDG_STATE_HOME": str(folder / "state"),
            "HOME": str(folder),
            "JACKDAW": str(Path(sys.executable).with_name("jackdaw")),
            "JACKDAW_MODEL": model,
            "LV2_PATH": str(VST3.parents[1] / "LV2"),
        }
        self._children: list[Process] = []

    def start(self, *command: str, name: str = "host") -> Process:
        """Start a program in the room."""
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            self._children.append(Process(command, self.folder / f"{name}-{len(self._children)}.log"))
        finally:
            os.environ.clear()
            os.environ.update(before)
        return self._children[-1]

    def begin(self, function: str, **arguments: Any) -> Process:
        """Let a host do something, and do not wait for it."""
        return self.start(sys.executable, str(_HOSTS), function, json.dumps(arguments), str(self.folder))

    def jalv(self, name: str) -> Process:
        """Start the LV2 in jalv, as a JACK client of that name; a pipe that nobody writes keeps it from ending."""
        pipe = self.folder / f"{name}.pipe"
        os.mkfifo(pipe)
        return self.start("sh", "-c", f'exec jalv -i -n {name} {LV2_URI} 0<>"{pipe}"', name="jalv")

    def call(self, function: str, timeout: float = 120.0, **arguments: Any) -> Any:
        """Let a host do something; return what it says."""
        result = subprocess.run(
            [sys.executable, str(_HOSTS), function, json.dumps(arguments), str(self.folder)],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
        return json.loads(result.stdout.splitlines()[-1])

    def audio(self, name: str | int) -> NDArray[np.float32]:
        """Return what a host saved, shape (channels, frames)."""
        audio: NDArray[np.float32] = np.load(self.folder / f"{name}.npy")
        return audio

    def ask(self, operation: str, session: str | None = None, **fields: Any) -> dict[str, Any]:
        """Ask the room's engine."""
        before = os.environ.get("XDG_RUNTIME_DIR")
        os.environ["XDG_RUNTIME_DIR"] = str(self.runtime)
        try:
            with ControlClient(timeout=5.0) as client:
                more = {} if session is None else {"session": session}
                return client.ask(operation, **more, **fields)
        finally:
            if before is None:
                del os.environ["XDG_RUNTIME_DIR"]
            else:
                os.environ["XDG_RUNTIME_DIR"] = before

    def sessions(self) -> list[dict[str, Any]]:
        """Return the sessions of the room's engine; none if it does not run."""
        try:
            return list(self.ask("list")["sessions"])
        except ControlError:
            return []

    def ready(self) -> str:
        """Wait for a session that is ready; return its name."""
        found: list[dict[str, Any]] = wait_until(
            "a ready session", lambda: [s for s in self.sessions() if s["phase"] == "ready"], 60
        )
        return str(found[0]["session"])

    def observe(self, session: str) -> Observer:
        """Look at a session's segment."""
        wait_until("a segment", segment_path(session).exists)
        return Observer(session)

    def engine(self) -> int:
        """Return the process of the engine."""
        return int(self.ask("hello")["pid"])

    def close(self) -> None:
        """End everything."""
        for child in self._children:
            child.stop()
        with contextlib.suppress(ControlError):  # it has ended already
            self.ask("stop")
        shutil.rmtree(self.runtime, ignore_errors=True)
