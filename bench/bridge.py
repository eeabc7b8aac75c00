"""Measure the bridge on a real JACK server while the machine is busy.

    python bench/bridge.py                      # about 8 minutes; --seconds 10 for a quick look

1. Callbacks: both cores busy with matrix products, and a Python thread that never lets go of the client's interpreter;
   `--seconds` (60) each at 64, 128 and 256 frames. An xrun is ours if our callback took more than half of its period.
   The control run is the same load with a client that only copies: what it shows is the machine's doing.
2. Speed of the model, and heard latency: a noise burst into in_L until the tokens that the model hears change.
3. First sound: from the start of `jackdaw jam` to the first sample that is not silent. Resume: from a killed engine to
   sound again, brought back by `jam`.

The last line is JSON; a row is appended to bench/results/bridge.jsonl.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _results
import numpy as np
from _heard import heard_latency
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from studio import Observer, Process, Studio, wait_until

from jackdaw.dsp import histogram_bounds
from jackdaw.engine.protocol.messages import ControlError

__all__ = ["main"]

_RATE = 48000
_PERIODS = (64, 128, 256)
_SOUND = 1e-4
_RESUMES = 3
_PRODUCTS = "import numpy as np\na = np.random.rand(384, 384).astype('f')\nwhile True: b = a @ a"
_QUANTILES = (0.5, 0.95, 0.99, 0.999)


@contextlib.contextmanager
def _busy_cores() -> Iterator[None]:
    """Keep every core busy."""
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    burners = [subprocess.Popen([sys.executable, "-c", _PRODUCTS], env=alone) for _ in range(os.cpu_count() or 1)]
    try:
        time.sleep(1.0)
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def _control_run(folder: Path, period: int, seconds: float) -> dict[str, Any]:
    """Run a client that only copies, under the same load."""
    with Studio(folder, _RATE, period) as room:
        room.start_server()
        with _busy_cores():
            seen = room.probe(round(seconds * _RATE), hear=False).result(seconds * 4 + 60).seen
    return {"xruns": seen["xruns"], "late": seen["late"], "missed_frames": seen["missed"]}


def _loaded_run(folder: Path, model: str, period: int, seconds: float) -> dict[str, Any]:
    """Run our client with its interpreter busy, and the model, under load."""
    with Studio(folder, _RATE, period, model) as room:
        room.start_server()
        room.start_engine()
        room.start_bridge("--debug-burn")
        room.wait_for_sound()
        with _busy_cores():
            seen = room.observe()
            before = {name: getattr(seen, name) for name in ("blocks", "xruns", "late_callbacks", "underruns")}
            counts = seen.histogram
            time.sleep(seconds)
            counts = seen.histogram - counts
            after = {name: getattr(seen, name) - value for name, value in before.items()}
            longest = seen.callback_ns_max
            seen.close()
    total, upper = np.cumsum(counts), np.append(histogram_bounds()[1:], np.inf)
    times = {f"p{q * 100:g}": float(upper[np.searchsorted(total, q * total[-1])]) / 1e3 for q in _QUANTILES}
    return {**after, "us": {**times, "max": longest / 1e3}}


def _wait_for_level(room: Studio, since: int) -> float:
    """Wait until something that is not silence is played after `since` (monotonic ns); return the seconds from it."""
    seen: Observer | None = None
    while True:
        if seen is None:
            seen = room.observe()
        if max(seen.peak_out) > _SOUND and seen.anchor_ns > since:
            return (time.monotonic_ns() - since) / 1e9
        if time.monotonic_ns() - since > 120e9:
            raise TimeoutError("no sound within 120 s")
        time.sleep(0.002)


def _start_and_resume(folder: Path, model: str) -> dict[str, float]:
    """Time a jam from its start to its first sound, and from a killed engine to sound again."""
    with Studio(folder, _RATE, 256, model) as room:
        room.start_server()
        command = [sys.executable, "-m", "jackdaw", "jam", "--model", model, "--session", room.session]
        begun = time.monotonic_ns()
        jam = Process([*command, "--server", room.session, "--prompt", "disco funk"], folder / "jam.log")
        try:
            first = _wait_for_level(room, begun)
            resumes = []
            for _ in range(_RESUMES):
                time.sleep(3.0)
                seen = room.observe()
                os.kill(seen.writer_pid, 9)
                killed = time.monotonic_ns()
                wait_until("silence", lambda seen=seen: max(seen.peak_out) < _SOUND)
                seen.close()
                resumes.append(_wait_for_level(room, killed))
        finally:
            jam.stop()
    return {"first_sound_s": first, "resume_s": statistics.median(resumes)}


def _table(rows: dict[int, tuple[dict[str, Any], dict[str, Any]]]) -> Table:
    table = Table(title="callbacks under load", box=None)
    names = ("frames", "p50 us", "p95", "p99", "p99.9", "max", "ours", "xruns", "underruns", "control: late", "xruns")
    for name in names:
        table.add_column(name, justify="right")
    for period, (ours, control) in rows.items():
        times = [f"{value:.0f}" for value in ours["us"].values()]
        counts = (ours["late_callbacks"], ours["xruns"], ours["underruns"], control["late"], control["xruns"])
        table.add_row(str(period), *times, *map(str, counts))
    return table


def main() -> int:
    """Run everything and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="tiny", help="which model plays (default: tiny)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each run under load (default: 60)")
    arguments = parser.parse_args()
    console = Console()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    rows = {}
    with tempfile.TemporaryDirectory() as name, Progress(*columns, console=console) as progress:
        folder = Path(name)
        task = progress.add_task("", total=None)
        for period in _PERIODS:
            progress.update(task, description=f"{period} frames, control run, {arguments.seconds:g} s")
            control = _control_run(folder, period, arguments.seconds)
            progress.update(task, description=f"{period} frames, {arguments.seconds:g} s")
            rows[period] = (_loaded_run(folder, arguments.model, period, arguments.seconds), control)
        progress.update(task, description="heard latency")
        heard = heard_latency(folder, arguments.model)
        progress.update(task, description="first sound, resume")
        start = _start_and_resume(folder, arguments.model)
    console.print(_table(rows))
    speed = heard.pop("rtf")
    figures: dict[str, Any] = {
        "model": arguments.model,
        "seconds": arguments.seconds,
        "xruns_ours": sum(ours["late_callbacks"] for ours, _ in rows.values()),
        "callback_p999_fraction": max(ours["us"]["p99.9"] * 1e-6 * _RATE / p for p, (ours, _) in rows.items()),
        f"rtf_{arguments.model.replace('-', '_')}": speed,
        **heard,
        **start,
        "late_control": sum(control["late"] for _, control in rows.values()),
        "underruns": sum(ours["underruns"] for ours, _ in rows.values()),
        "periods": {str(period): {"ours": ours, "control": control} for period, (ours, control) in rows.items()},
    }
    _results.append("bridge", figures)
    del figures["periods"]
    print(json.dumps({key: round(v, 4) if isinstance(v, float) else v for key, v in figures.items()}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (KeyboardInterrupt, ControlError) as error:
        sys.exit(f"bench: {error or 'stopped'}")
