"""A studio for tests and measurements: a private JACK server, the engine and the bridge as processes, and a probe.

Everything has names of its own, so that studios can stand side by side; everything ends with the ``with`` block.
"""

import contextlib
import ctypes
import hashlib
import itertools
import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jackdaw.bridge.server import PrivateServer
from jackdaw.dsp import ffi, segment_path

__all__ = ["Observer", "Probe", "Process", "Studio", "Take", "wait_until"]

_HERE = Path(__file__).resolve().parent
_numbers = itertools.count()
_libc = ctypes.CDLL(None)
_NAP_S = 0.01
_STANDS = 2**64 - 1


def wait_until(what: str, condition: Callable[[], Any], timeout: float = 30.0) -> Any:
    """Return the first true value of `condition`; raises TimeoutError that names `what`."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s for {what}")
        time.sleep(_NAP_S)
    return value


class Process:
    """A child process that ends with its parent; what it writes to stderr is kept in a file."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - calls only what is safe after a fork
            )
        self.pid = self.popen.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.popen.poll() is None

    def kill(self) -> int:
        """Kill it as the kernel does when memory is short; return the time of it, monotonic ns."""
        at = time.monotonic_ns()
        self.popen.kill()
        self.popen.wait()
        return at

    def stop(self, timeout: float = 10.0) -> int:
        """Ask it to stop; return its exit code."""
        if self.alive:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        return self.popen.wait()

    def events(self) -> list[dict[str, Any]]:
        """Return its log lines that are JSON."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return its log lines about one event."""
        return [line for line in self.events() if line["event"] == event]


def _die_with_parent() -> None:
    _libc.prctl(1, signal.SIGKILL)


class Observer:
    """Looks at a session's segment without taking part: no lock, read-only."""

    def __init__(self, session: str) -> None:
        with segment_path(session).open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self._buffer = ffi.from_buffer(self._map)
        self._header = ffi.cast("jd_header*", self._buffer)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._header, name)
        return list(value) if isinstance(value, ffi.CData) else value  # a copy: the map may be gone before its user

    @property
    def histogram(self) -> NDArray[np.int64]:
        """Callbacks by time, see the header."""
        return np.array(list(self._header.histogram), np.int64)

    def close(self) -> None:
        """Unmap."""
        ffi.release(self._buffer)
        self._map.close()


@dataclass(frozen=True)
class Take:
    """What a probe recorded.

    Parameters
    ----------
    audio
        float32, shape (frames, 2).
    cycles
        uint64, shape (cycles, 4): first frame of the cycle, JACK's frame time, CLOCK_MONOTONIC ns, and the transport's
        frame, or all ones while it stands.
    seen
        What the probe said: rate, period, frames of missed cycles, latency ranges.
    """

    audio: NDArray[np.float32]
    cycles: NDArray[np.uint64]
    seen: dict[str, Any]

    def frame_at(self, ns: int) -> int:
        """Return the frame that was processed at a time: the first of the first cycle from then on."""
        row = int(np.searchsorted(self.cycles[:, 2], ns))
        return int(self.cycles[min(row, len(self.cycles) - 1), 0])

    def transport_at(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where the transport was at frames of the take, in its own frames.

        Each is read from its own cycle: a cycle that JACK skips is not in the take, but the transport moves on.

        Raises
        ------
        ValueError
            If the transport stood at one of them.
        """
        rows = np.searchsorted(self.cycles[:, 0], frames, side="right") - 1
        begun, at = self.cycles[rows, 0], self.cycles[rows, 3]
        if (at == np.uint64(_STANDS)).any():
            raise ValueError("the transport stood for a part of the take")
        return at.astype(np.float64) + (frames - begun.astype(np.float64))

    def off_beat(self, seconds: NDArray[np.float64], bpm: float) -> NDArray[np.float64]:
        """Return by how many seconds instants of the take are later than the nearest beat of the transport."""
        rate = self.seen["rate"]
        beats = self.transport_at(seconds * rate) / rate * bpm / 60.0
        return (beats - np.round(beats)) * 60.0 / bpm


class Probe:
    """The probe program, running; see ``probe.c``."""

    def __init__(self, folder: Path, arguments: Sequence[str], play: NDArray[np.float32] | None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="take-", dir=folder))
        command = [str(_program()), *arguments, "-r", "record", "-c", "cycles"]
        if play is not None:
            np.ascontiguousarray(play, np.float32).tofile(self._folder / "play")
            command += ["-p", "play"]
        self._popen = subprocess.Popen(
            command,
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - calls only what is safe after a fork
        )

    def result(self, timeout: float = 120.0) -> Take:
        """Wait for its end; return what it recorded."""
        out, err = self._popen.communicate(timeout=timeout)
        if self._popen.returncode != 0:
            raise RuntimeError(f"probe: {err.decode(errors='replace').strip()}")
        return Take(
            np.fromfile(self._folder / "record", np.float32).reshape(-1, 2),
            np.fromfile(self._folder / "cycles", np.uint64).reshape(-1, 4),
            json.loads(out.splitlines()[-1]),
        )


def _program() -> Path:
    """Return the compiled probe; compile it if its source is new."""
    source = _HERE / "probe.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    program = _HERE.parent / "build" / f"probe-{digest}"
    if not program.exists():
        program.parent.mkdir(exist_ok=True)
        half = program.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", half, source, "-ljack"], check=True)
        half.rename(program)
    return program


@dataclass
class Studio:
    """One session in one private JACK server.

    Parameters
    ----------
    folder
        For logs and recordings.
    rate, period
        Of the server.
    model
        What the engine plays.
    """

    folder: Path
    rate: int = 48000
    period: int = 256
    model: str = "beep"
    session: str = field(default_factory=lambda: f"studio-{os.getpid()}-{next(_numbers)}")
    server: PrivateServer | None = None
    engine: Process | None = None
    bridge: Process | None = None

    @property
    def client(self) -> str:
        """Name of the bridge's JACK client."""
        return f"jackdaw-{self.session}"

    def start_server(self) -> PrivateServer:
        """Start the JACK server, under the same name each time."""
        self.server = PrivateServer(self.rate, self.period, self.session, driver="dummy")
        self.server.start()
        return self.server

    def start_engine(self, *arguments: str) -> Process:
        """Start the engine."""
        command = [sys.executable, "-m", "jackdaw.engine", "--session", self.session, "--model", self.model, *arguments]
        self.engine = Process(command, self.folder / f"{self.session}-engine.log")
        return self.engine

    def start_bridge(self, *arguments: str) -> Process:
        """Start the JACK client."""
        command = [sys.executable, "-m", "jackdaw.bridge", "--session", self.session, "--server", self.session]
        self.bridge = Process([*command, *arguments], self.folder / f"{self.session}-bridge.log")
        return self.bridge

    def observe(self) -> Observer:
        """Return a look at the segment, as soon as there is one."""
        wait_until("a segment", segment_path(self.session).exists)
        return Observer(self.session)

    def wait_for_sound(self, timeout: float = 60.0) -> int:
        """Wait until music is being consumed from now on; return the time, monotonic ns."""

        def playing() -> int:
            try:
                observer = self.observe()
            except (FileNotFoundError, TimeoutError):
                return 0
            try:
                before = observer.out_read
                time.sleep(2 * _NAP_S)
                return time.monotonic_ns() if observer.out_read != before else 0
            finally:
                observer.close()

        return int(wait_until("sound", playing, timeout))

    def probe(
        self,
        frames: int,
        *arguments: str,
        play: NDArray[np.float32] | None = None,
        hear: bool = True,
        say: bool = False,
    ) -> Probe:
        """Start a probe: `hear` connects our outputs to it, `say` connects it to our inputs."""
        command = [self.session, str(frames), *arguments]
        if hear:
            command += ["-f", f"{self.client}:out_L,{self.client}:out_R"]
        if say:
            command += ["-t", f"{self.client}:in_L,{self.client}:in_R"]
        return Probe(self.folder, command, play)

    def close(self) -> None:
        """End everything."""
        if self.bridge is not None:
            self.bridge.stop()
        if self.engine is not None and self.engine.alive:
            self.engine.kill()
        if self.server is not None:
            self.server.stop()
        with contextlib.suppress(FileNotFoundError):
            segment_path(self.session).unlink()

    def __enter__(self) -> "Studio":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
