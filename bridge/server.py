"""The JACK server: find one that runs, or start a private one and stop it afterwards.

Nothing here touches audio. A private server belongs to the process that started it: it is asked to quit when that
process ends in any way (the kernel sends it SIGTERM), and it does not see the terminal's Ctrl-C, so that clients can
fade out before it goes.
"""

import ctypes
import importlib
import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

__all__ = ["PrivateServer", "ServerError", "find_server", "load_libjack", "no_server_text", "server_name"]

_PR_SET_PDEATHSIG = 1
_START_S = 10.0
_STOP_S = 3.0
_POLL_S = 0.05
_PORTS = 256  # jackd's 4096 make it map, and lock, 107 MB
_RATES = (8000, 384000)
_PERIODS = (16, 8192)
_INSTALL = (
    "install it (Debian, Ubuntu: `sudo apt install jackd2`; Fedora: `sudo dnf install jack-audio-connection-kit`)"
)
_SHM = Path("/dev/shm")  # where jackd2 keeps its sockets and semaphores


class ServerError(RuntimeError):
    """No JACK server, or none can be started; the text says why and what to do."""


def server_name(name: str | None = None) -> str:
    """Return the name of the server that is meant: the one given, else ``$JACK_DEFAULT_SERVER``, else ``default``."""
    return name or os.environ.get("JACK_DEFAULT_SERVER") or "default"


def no_server_text(name: str | None = None) -> str:
    """Say that a server is not running, and what to do."""
    called = "" if server_name(name) == "default" else f" {server_name(name)!r}"
    return (
        f"JACK server{called} not running: start one with `jackd -d alsa`, or run `jackdaw jam --private-server`; "
        "with PipeWire, `pw-jack jackdaw jam`"
    )


def load_libjack() -> Any:
    """Import JACK-Client, which opens libjack, keep libjack from writing to stderr, and return JACK-Client.

    Raises
    ------
    ServerError
        If libjack is not installed.
    """
    try:
        jack = importlib.import_module("jack")
    except OSError as error:
        raise ServerError(f"libjack is not installed: {_INSTALL}, or use PipeWire's: `pw-jack jackdaw jam`") from error
    importlib.import_module("jackdaw.bridge._libjack").silence()
    return jack


def find_server(name: str | None = None) -> str | None:
    """Look for a running JACK server.

    Parameters
    ----------
    name
        Its name; None takes the one that JACK would take.

    Returns
    -------
    str or None
        The server's name if it accepts a client, else None.

    Raises
    ------
    ServerError
        If libjack is not installed.
    """
    jack = load_libjack()
    wanted = server_name(name)
    try:
        client = jack.Client("jackdaw-probe", no_start_server=True, servername=wanted)
    except jack.JackOpenError:
        return None
    client.close()
    return wanted


def _alsa_device() -> list[str] | None:
    """Return the ALSA driver's arguments for the first device that can play, or None if there is none."""
    try:
        lines = Path("/proc/asound/pcm").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    for line in lines:
        number = re.match(r"(\d+)-(\d+):", line)
        if number and "playback" in line:
            device = f"hw:{int(number[1])},{int(number[2])}"
            return ["-d", device] if "capture" in line else ["-P", device]
    return None


def _may_be_realtime() -> bool:
    soft = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    return os.geteuid() == 0 or soft == resource.RLIM_INFINITY or soft >= 10


def _reason(log: str) -> str:
    """Pick what jackd said about its failure."""
    telling = [line for line in log.splitlines() if re.search(r"error|cannot|can't|fail|busy", line, re.IGNORECASE)]
    return "; ".join(telling[-3:]) or (log.splitlines() or ["it said nothing"])[-1]


class PrivateServer:
    """A JACK server of one's own, for as long as the context lasts.

    It plays through the first ALSA device that can play; without one, through JACK's dummy driver, which keeps time and
    makes no sound.

    Parameters
    ----------
    rate
        Sample rate in Hz, 8000 to 384000.
    period
        Frames per period, a power of two from 16 to 8192.
    name
        Name of the server, of letters, digits, ``-`` and ``_``; None makes one from the process id.
    driver
        ``alsa`` or ``dummy``; None chooses.
    loopback
        Loopback channels: what is played into ``loopback:playback_N`` comes back at ``loopback:capture_N``.

    Attributes
    ----------
    name : str
    driver : str

    Raises
    ------
    ServerError
        If a value is out of range, on entry if jackd is missing or does not start.
    """

    def __init__(
        self,
        rate: int = 48000,
        period: int = 256,
        name: str | None = None,
        *,
        driver: str | None = None,
        loopback: int = 0,
    ) -> None:
        if not _RATES[0] <= rate <= _RATES[1]:
            raise ServerError(f"sample rate {rate} Hz: give {_RATES[0]} to {_RATES[1]}")
        if not _PERIODS[0] <= period <= _PERIODS[1] or period & (period - 1):
            raise ServerError(f"period of {period} frames: give a power of two from {_PERIODS[0]} to {_PERIODS[1]}")
        self.name = name or f"jackdaw-{os.getpid()}"
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.name):
            raise ServerError(f"server name {self.name!r}: use 1 to 64 letters, digits, - and _")
        device = _alsa_device() if driver in (None, "alsa") else None
        self.driver = driver or ("alsa" if device else "dummy")
        self._arguments = ["-R" if _may_be_realtime() else "-r", "-n", self.name, "-p", str(_PORTS)]
        if loopback:
            self._arguments += ["-L", str(loopback)]
        self._arguments += ["-d", self.driver, "-r", str(rate), "-p", str(period)]
        self._arguments += (device or []) if self.driver == "alsa" else ["-C", "2", "-P", "2"]
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running server.

        Raises
        ------
        ServerError
            If it is not running.
        """
        if self._process is None or self._process.poll() is not None:
            raise ServerError(f"private JACK server {self.name!r} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the server and return once it accepts clients. Call from the main thread.

        Raises
        ------
        ServerError
            If jackd is missing or does not come up within 10 s.
        """
        program = shutil.which("jackd")
        if program is None:
            raise ServerError(f"jackd is not installed: {_INSTALL}")
        libc = ctypes.CDLL(None)
        parent = os.getpid()

        def die_with_parent() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

        self._remove_leftovers()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the server runs
        self._process = subprocess.Popen(
            [program, *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - calls only what is safe after a fork
        )
        deadline = time.monotonic() + _START_S
        while find_server(self.name) is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._said()
                self.stop()
                raise ServerError(self._failure(said))
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Stop the server: by SIGTERM, and by SIGKILL after 3 s. Does nothing if it is not running."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
            self._remove_leftovers()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _said(self) -> str:
        if self._log is None:
            return ""
        self._log.seek(0)
        return self._log.read().decode("utf-8", errors="replace")

    def _failure(self, said: str) -> str:
        text = f"private JACK server did not start ({self.driver}): {_reason(said)}."
        if self.driver == "alsa":
            text += (
                " If another program holds the sound card, close it; if that is PipeWire, play through its JACK: "
                "`pw-jack jackdaw jam`"
            )
        return text

    def _remove_leftovers(self) -> None:
        """Remove the sockets and semaphores that a killed server of this name left; jackd frees its memory itself."""
        user = os.getuid()
        for path in (*_SHM.glob(f"jack_{self.name}_{user}_*"), *_SHM.glob(f"jack_sem.{user}_{self.name}_*")):
            path.unlink(missing_ok=True)

    def __enter__(self) -> "PrivateServer":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
