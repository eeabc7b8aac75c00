"""``jackdaw doctor``: looks at this machine and says what to mend.

Each check gives a verdict: ``ok``, ``warn`` (it plays, but worse than it could) or ``fail`` (it cannot play). The exit
code is 1 if anything fails.
"""

import argparse
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from jackdaw.bridge.server import ServerError, find_server
from jackdaw.engine.models.contract import Controls
from jackdaw.engine.weights.registry import MODELS

__all__ = ["register"]

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_SHM_BYTES = 64 << 20
_MEMLOCK_BYTES = 256 << 20
_STEPS = 100


@dataclass(frozen=True)
class Finding:
    """What one check found: a verdict, what it saw, and what to do about it."""

    verdict: str
    what: str
    seen: str
    advice: str = ""


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    parser = commands.add_parser("doctor", help="check this machine", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help="model whose speed is measured (default: tiny)")
    parser.set_defaults(run=run)


def _server() -> Iterator[Finding]:
    if shutil.which("jackd") is None and shutil.which("pipewire") is None:
        yield Finding("fail", "audio server", "no JACK and no PipeWire", "install jackd2, or pipewire-jack")
        return
    try:
        name = find_server()
    except ServerError as error:
        yield Finding("fail", "audio server", str(error), "install libjack (jackd2 or pipewire-jack)")
        return
    if name is None:
        yield Finding(
            "warn",
            "audio server",
            "installed, not running",
            "start one with `jackd -d alsa`, or play with `jackdaw jam --private-server`",
        )
    else:
        yield Finding("ok", "audio server", f"{name!r} answers")
    cards = Path("/proc/asound/cards")
    if not cards.exists() or "no soundcards" in cards.read_text(encoding="utf-8"):
        yield Finding("warn", "sound card", "none", "a private server will use JACK's dummy driver: record to hear it")
    else:
        yield Finding("ok", "sound card", cards.read_text(encoding="utf-8").splitlines()[0].strip())


def _rights() -> Iterator[Finding]:
    priority = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    if os.geteuid() == 0 or priority == resource.RLIM_INFINITY or priority >= 50:
        yield Finding("ok", "realtime rights", "root" if os.geteuid() == 0 else f"priority up to {priority}")
    else:
        yield Finding(
            "warn",
            "realtime rights",
            f"priority up to {priority}",
            "sudo usermod -aG audio $USER, allow it rtprio 95 in /etc/security/limits.d, log in again",
        )
    lock = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]
    if os.geteuid() == 0 or lock == resource.RLIM_INFINITY or lock >= _MEMLOCK_BYTES:
        yield Finding("ok", "memory lock", "unlimited" if lock == resource.RLIM_INFINITY else f"{lock >> 20} MiB")
    else:
        yield Finding(
            "warn", "memory lock", f"{lock >> 10} KiB", "allow memlock unlimited for the audio group in limits.d"
        )


def _machine() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0))
    if cores >= 2:
        yield Finding("ok", "processor", f"{cores} cores")
    else:
        yield Finding("warn", "processor", "1 core", "model and audio share it; expect underruns")
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if not governor.exists():
        yield Finding("ok", "CPU governor", "not visible (virtual machine or fixed clock)")
    elif (seen := governor.read_text(encoding="utf-8").strip()) == "performance":
        yield Finding("ok", "CPU governor", seen)
    else:
        yield Finding("warn", "CPU governor", seen, "sudo cpupower frequency-set -g performance")
    try:
        space = os.statvfs("/dev/shm")
    except FileNotFoundError:
        yield Finding("fail", "shared memory", "no /dev/shm", "mount a tmpfs there; sessions live in it")
        return
    free = space.f_bavail * space.f_frsize
    if free < _SHM_BYTES:
        yield Finding("fail", "shared memory", f"{free >> 20} MiB free in /dev/shm", "free at least 64 MiB there")
    else:
        yield Finding("ok", "shared memory", f"{free >> 20} MiB free in /dev/shm")


def _speed(name: str) -> Iterator[Finding]:
    entry = MODELS.get(name)
    if entry is None:
        yield Finding("fail", "model", f"no model named {name!r}", f"there are: {', '.join(MODELS)}")
        return
    begun = time.perf_counter()
    try:
        model = entry.load()
    except (OSError, ValueError, ModuleNotFoundError) as error:
        yield Finding("fail", "model", f"{name} can't be loaded", str(error))
        return
    model.warm_up()
    state = model.init(0)
    start = time.perf_counter() - begun
    times = []
    for _ in range(_STEPS):
        begun = time.perf_counter()
        state, _audio = model.step(state, Controls(), None)
        times.append(time.perf_counter() - begun)
    times.sort()
    speed = model.spec.step_seconds / times[len(times) // 2]
    slowest = model.spec.step_seconds / times[int(len(times) * 0.99)]
    seen = f"{name}: {speed:.1f}x real time (p99 {slowest:.1f}x), {start:.1f} s to start"
    if speed < 1.0:
        yield Finding("fail", "model speed", seen, "this machine is too slow for this model; try a smaller one")
    elif slowest < 1.0:
        yield Finding("warn", "model speed", seen, "close other programs, or give the ring more: --target-ms 400")
    else:
        yield Finding("ok", "model speed", seen)


def run(arguments: argparse.Namespace) -> int:
    """Run every check and print what was found."""
    checks: list[Callable[[], Iterator[Finding]]] = [_server, _rights, _machine, lambda: _speed(arguments.model)]
    table = Table(box=None, pad_edge=False)
    for heading in ("", "check", "seen", "what to do"):
        table.add_column(heading, overflow="fold")
    worst = 0
    for check in checks:
        for finding in check():
            colour = _COLOURS[finding.verdict]
            table.add_row(f"[{colour}]{finding.verdict}[/]", finding.what, finding.seen, finding.advice)
            worst = max(worst, finding.verdict == "fail")
    Console().print(table)
    return worst
