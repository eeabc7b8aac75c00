"""The plugin in real hosts: gaps and latency over random formats, an engine killed over and over, what sessions cost.

``make bench-plugin``; the last line printed is the row that is appended to ``bench/results/plugin.jsonl``.

runs, gaps                   random rate, block and layout in pedalboard with an echo: runs, and those whose impulse was
                             lost, doubled or altered
latency_error_blocks_max     greatest difference between an answer and its told time, in blocks
third_session_cost           step time of three sessions of the model in one engine, over that of one alone
kills, host_crashes          times the engine got SIGKILL while a host played, and hosts that ended with it
resume_s_p95                 seconds from a kill to the first music after it
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _results import append
from rich.progress import Progress

from jackdaw.bridge.server import PrivateServer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "plugin"))
from rooms import Room, cases, wait_until

_CHUNK = 25
_KILLS_A_HOST = 10
_SETTLE_S = 15.0


def _formats(folder: Path, count: int, progress: Progress) -> dict[str, Any]:
    room = Room(folder, "beep-echo")
    task = progress.add_task("formats", total=count)
    left, seen = list(cases(count)), []
    try:
        while left:
            chunk, left = left[:_CHUNK], left[_CHUNK:]
            seen += room.call("runs", timeout=1800.0, cases=chunk)
            progress.advance(task, len(chunk))
    finally:
        room.close()
    whole = [
        run["length"] == run["frames"] and run["rest"] < 0.001 and run["peak"] > 0.4 * min(1.0, 48000 / run["rate"])
        for run in seen
    ]
    return {
        "runs": len(seen),
        "gaps": len(seen) - sum(whole),
        "latency_error_blocks_max": round(max(abs(run["late"]) / run["block"] for run in seen), 4),
        "latency_error_frames_max": max(abs(run["late"]) for run in seen),
    }


def _kills(folder: Path, count: int, progress: Progress) -> dict[str, Any]:
    task = progress.add_task("kills", total=count)
    resumed: list[float] = []
    crashes = done = 0
    while done < count:
        room = Room(folder, "beep-ramp")
        (folder / "killed").unlink(missing_ok=True)
        try:
            host = room.begin("stay", until=str(folder / "killed"))
            wait_until("music", lambda log=host.log: "playing" in log.read_text(), 60)
            killed = []
            for _ in range(min(_KILLS_A_HOST, count - done)):
                time.sleep(1.0)
                first = room.engine()
                killed.append(time.monotonic_ns())
                os.kill(first, signal.SIGKILL)
                wait_until("another engine", partial(_engine_but, room, first), 60)
                wait_until("music", partial(_plays, room), 60)
                time.sleep(0.5)
                done += 1
                progress.advance(task)
                if not host.alive:
                    break
            (folder / "killed").touch()
            crashes += host.popen.wait(60) != 0
            times = np.load(folder / "times.npy")
            for at in killed:
                after = times[times[:, 0] > at]
                silent = after[after[:, 1] == 0, 0]
                back = after[(after[:, 1] == 1) & (after[:, 0] > silent[0]), 0] if len(silent) else []
                resumed.append((int(back[0]) - at) / 1e9 if len(back) else float("inf"))
        finally:
            room.close()
    return {
        "kills": done,
        "host_crashes": crashes,
        "resume_s_median": round(float(np.median(resumed)), 2) if resumed else None,
        "resume_s_p95": round(float(np.quantile(resumed, 0.95, method="higher")), 2) if resumed else None,
    }


def _engine_but(room: Room, old: int) -> bool:
    return bool(room.sessions()) and room.engine() != old


def _plays(room: Room) -> bool:
    return any(one["reader"] and one["phase"] == "ready" for one in room.sessions())


def _all_ready(room: Room, count: int) -> bool:
    return [one["phase"] for one in room.sessions()] == ["ready"] * count


def _sessions(folder: Path, model: str, progress: Progress) -> dict[str, Any]:
    """Return the step time with three instances playing in real time (in jalv, on JACK), over that with one."""
    task = progress.add_task("sessions", total=2)
    steps = {}
    for count in (1, 3):
        room = Room(folder, model)
        try:
            with PrivateServer(48000, 512, f"bench-{os.getpid()}", driver="dummy") as server:
                room.environment["JACK_DEFAULT_SERVER"] = server.name
                for number in range(count):
                    room.jalv(f"jackdaw-{count}-{number}")
                wait_until(f"{count} sessions", partial(_all_ready, room, count), 180)
                time.sleep(_SETTLE_S)
                told = [room.ask("status", s["session"])["status"] for s in room.sessions()]
                steps[count] = max(one["step_ms"]["p50"] for one in told)
        finally:
            room.close()
        progress.advance(task)
    cost = round(steps[3] / steps[1], 2)
    return {"third_session_cost": cost, "step_ms_1": round(steps[1], 2), "step_ms_3": round(steps[3], 2)}


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--model", default="tiny", help="for the cost of sessions; 'none' leaves it out")
    given = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="jdb-") as name, Progress() as progress:
        folder = Path(name)
        if given.runs:
            figures |= _formats(folder, given.runs, progress)
        if given.kills:
            figures |= _kills(folder, given.kills, progress)
        if given.model != "none":
            figures |= _sessions(folder, given.model, progress)
    append("plugin", figures)
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
