"""Measure the bundled model: speed, style, and whether it stays alive.

    python bench/tiny.py                            # speed alone
    python bench/tiny.py --judge judge.npz          # all; judge.npz from bench/judge_style.py train

1. Speed: one render of 60 s, start-up apart, as times real time; the time of a step; and what a step of three sessions
   costs, in steps of one, taken in turns so that both see the same machine.
2. Style: five styles, four seeds each, 20 s; `bench/judge_style.py` names the style of each among those five and among
   all, and the share that is right is printed beside chance.
3. Liveness: one render of `--seconds` (600): NaN, clipping, silence, loudness.

Audio is kept in `--out`. The last line is JSON; a row is appended to bench/results/tiny.jsonl.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from judge_music import liveness
from judge_style import Judge, name_style

from jackdaw.engine.models.contract import Controls, Item, Model, step_all
from jackdaw.engine.render import render_file
from jackdaw.engine.weights.registry import load_model

__all__ = ["main"]

# groups on which the judge is right for real renders of unseen progressions (10 of 10 songs)
STYLES = {
    "bossa nova": "brazilian",
    "calypso": "caribbean",
    "cool jazz combo": "jazz",
    "military march": "march",
    "tango": "tango",
}
SEEDS = 4
STEPS, SETTLING = 320, 20
STYLE_SECONDS = 20.0


def speed(out: Path, seconds: float) -> dict[str, float]:
    """Render once and say how fast it went."""
    result = render_file(out / "speed.wav", model="tiny", prompts=[("bossa nova", 1.0)], seconds=seconds, seed=1)
    model = load_model("tiny")
    model.warm_up(streams=3)  # type: ignore[call-arg]
    one, three = (_times(model, count) for count in (1, 3))
    both = [(next(one), next(three)) for _ in range(STEPS)][SETTLING:]
    alone, together = np.array(both).T * 1e3
    figures = {f"step_ms_{name}": np.quantile(alone, q) for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
    figures["third_session_cost"] = np.median(together) / np.median(alone)
    figures |= {"rtf": result.speed, "start_s": result.start_s}
    return {name: round(float(value), 2) for name, value in figures.items()}


def _times(model: Model, count: int) -> Iterator[float]:
    """Play `count` sessions for ever; yield the seconds that each step of all took."""
    controls = Controls(style=model.embed("bossa nova"))
    states = [model.init(seed) for seed in range(count)]
    while True:
        items: list[Item] = [(state, controls, None) for state in states]
        begun = time.perf_counter()
        made = step_all(model, items)
        yield time.perf_counter() - begun
        states = [state for state, _ in made]


def styles(out: Path, judge: Judge) -> dict[str, Any]:
    """Render every style and let the judge name it."""
    right_among, right_all, heard = 0, 0, Counter[str]()
    for prompt, group in STYLES.items():
        for seed in range(SEEDS):
            path = out / f"{group}-{seed}.wav"
            render_file(path, model="tiny", prompts=[(prompt, 1.0)], seconds=STYLE_SECONDS, seed=seed)
            among = name_style(path, judge, list(STYLES.values()))[0][0]
            overall = name_style(path, judge)[0][0]
            right_among += among == group
            right_all += overall == group
            heard[f"{group} -> {among}"] += 1
            print(f"{prompt:16} seed {seed}: {among:12} (of all styles: {overall})", flush=True)
    total = len(STYLES) * SEEDS
    return {
        "style_ratio": right_among / total,
        "style_chance": 1 / len(STYLES),
        "style_ratio_of_all": right_all / total,
        "confusion": dict(heard),
    }


def main() -> int:
    """Run what was asked for and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--judge", type=Path, help="judge file made by bench/judge_style.py train")
    parser.add_argument("--out", type=Path, default=Path("build/bench-tiny"), help="folder for the audio")
    parser.add_argument("--seconds", type=float, default=600.0, help="length of the liveness render")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = speed(arguments.out, 60.0)
    print(f"60 s at {figures['rtf']}x real time, {figures['start_s']} s to start")
    print("a step: " + ", ".join(f"{name} {figures[f'step_ms_{name}']} ms" for name in ("p50", "p95", "p99")))
    print(f"three sessions: {figures['third_session_cost']} times one")
    if arguments.judge is None:
        print(json.dumps(figures))
        return 0
    figures |= styles(arguments.out, Judge.load(arguments.judge))
    long = arguments.out / "long.wav"
    render_file(long, model="tiny", prompts=[("disco funk", 1.0)], seconds=arguments.seconds, seed=5)
    audio, _rate = soundfile.read(long, dtype="float32", always_2d=True)
    figures["nan"] = bool(~np.isfinite(audio).all())
    figures["liveness"] = liveness(audio)
    row = {
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        **figures,
    }
    results = Path(__file__).parent / "results" / "tiny.jsonl"
    results.parent.mkdir(exist_ok=True)
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
