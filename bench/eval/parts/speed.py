"""Speed: what does a frame cost when everything is on?

Run by itself (``speed.py STEPS``) in a process of its own, so that its memory is the model's alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from jackdaw.engine.models.contract import Chord, Clock, Controls
from jackdaw.engine.weights.registry import load_model

__all__ = ["measure"]

SETTLING = 25


def _peak_kb() -> int:
    """Return the most memory that this program has had; what getrusage tells counts its parent's, from before exec."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0])


def _play(model_name: str, steps: int) -> dict[str, float]:
    """Step with hearing, guidance, clock, chord and notes; wall-clock time of each step."""
    model = load_model(model_name)
    model.warm_up()
    spec = model.spec
    rng = np.random.default_rng(0)
    sound = (0.1 * rng.standard_normal((spec.step_samples, spec.channels))).astype(np.float32)
    base = Controls(style=model.embed("bossa nova"), guidance=3.0, chord=Chord(root=0), notes=frozenset({60, 64}))
    state, times = model.init(0), []
    for step in range(SETTLING + steps):
        clock = Clock(bpm=120.0, beat=step * spec.step_seconds * 2.0 % 4.0)
        begun = time.perf_counter()
        state, audio = model.step(state, base.with_(clock=clock), sound)
        np.asarray(audio)
        times.append(time.perf_counter() - begun)
    taken = np.array(times[SETTLING:])
    return {
        "rtf": round(float(spec.step_seconds / taken.mean()), 2),
        "frame_p50_ms": round(float(np.quantile(taken, 0.5)) * 1e3, 2),
        "frame_p99_ms": round(float(np.quantile(taken, 0.99)) * 1e3, 2),
        "frame_max_ms": round(float(taken.max()) * 1e3, 2),
        "memory_mb": round(_peak_kb() / 1024, 1),
        "step_ms": round(spec.step_seconds * 1e3, 2),
    }


if __name__ == "__main__":
    print(json.dumps(_play(sys.argv[1], int(sys.argv[2]))))
else:
    from study import Finding, Study

    def measure(study: Study) -> Finding:
        """Time frames in a fresh process."""
        steps = study.count(1500, 150)
        tick = study.counter("speed", 1)
        command = [sys.executable, Path(__file__).resolve(), study.model.spec.name, str(steps)]
        # a session of its own: Ctrl-C is for us, and ends it
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, start_new_session=True)
        found = json.loads(done.stdout)
        tick(1)
        frame = found.pop("step_ms")
        return Finding(
            "Speed",
            f"{steps} frames of {frame:g} ms with hearing, guidance, clock, chord and notes, on the machine of this run"
            " (other programs may have run beside); memory is the peak of a process with the model alone.",
            figures=found,
            rows=[
                ("times real time", found["rtf"], None),
                ("a frame, median, ms", found["frame_p50_ms"], None),
                ("a frame, 99th percentile, ms", found["frame_p99_ms"], None),
                ("memory, MB", found["memory_mb"], None),
            ],
        )
