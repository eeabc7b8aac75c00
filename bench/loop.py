"""Play a ramp through a real JACK server in freewheel, at every rate and period, and compare sample by sample.

    python bench/loop.py                        # 4 rates x 4 periods x 60 s of music

At the model's own rate every sample must be the next value of the ramp, bit for bit. At other rates the resampled ramp
must stay on one straight line: a lost or repeated frame would shift it by a whole slope, far more than rounding does.
The last line is JSON; a row is appended to bench/results/loop.jsonl.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path

import _results
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from studio import Studio

__all__ = ["main"]

_RATES = (44100, 48000, 88200, 96000)
_PERIODS = (64, 128, 256, 1024)
_MODEL_RATE = 48000
_STEP = 2.0**-24
_WINDOW = 1024


def _breaks(ramp: NDArray[np.float32], rate: int) -> tuple[int, float]:
    """Return the frames lost, repeated or wrong, and how far the ramp ever is from a straight line, in frames."""
    slope = _STEP * _MODEL_RATE / rate
    values = ramp.astype(np.float64)
    off = (values - values[0]) / slope - np.arange(len(values))
    if rate == _MODEL_RATE:
        return int(np.count_nonzero(np.diff(off))), float(np.max(np.abs(off)))
    # single samples are rounded to float32, by up to half a slope at the end: means are not
    means = off[: len(off) // _WINDOW * _WINDOW].reshape(-1, _WINDOW).mean(axis=1)
    time = np.arange(len(means))
    line = np.polyval(np.polyfit(time, means, 1), time)  # a resampler's gain at 0 Hz is not quite 1
    return int(np.count_nonzero(np.abs(np.diff(means)) > 0.25)), float(np.max(np.abs(means - line)))


def main() -> int:
    """Run every combination and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of music for each (default: 60)")
    arguments = parser.parse_args()
    console = Console()
    table = Table(title="ramp through JACK in freewheel", box=None)
    for heading in ("rate", "period", "frames", "breaks", "off by (frames)", "x real time"):
        table.add_column(heading, justify="right")
    rows = []
    combinations = list(itertools.product(_RATES, _PERIODS))
    with tempfile.TemporaryDirectory() as folder:
        for rate, period in track(combinations, "rates x periods", console=console):
            with Studio(Path(folder), rate, period, "beep-ramp") as room:
                room.start_server()
                room.start_engine()
                room.start_bridge("--no-connect")
                room.wait_for_sound()
                begun = time.monotonic()
                take = room.probe(round(arguments.seconds * rate), "-w").result(600)
                speed = arguments.seconds / (time.monotonic() - begun)
            breaks, off = _breaks(take.audio[:, 0], rate)
            breaks += int(np.count_nonzero(take.audio[:, 1] != -take.audio[:, 0]))
            rows.append({"rate": rate, "period": period, "breaks": breaks, "off": off, "speed": speed})
            table.add_row(str(rate), str(period), str(len(take.audio)), str(breaks), f"{off:.4f}", f"{speed:.0f}")
    console.print(table)
    figures = {
        "seconds": arguments.seconds,
        "frames": sum(round(arguments.seconds * row["rate"]) for row in rows),
        "breaks": sum(row["breaks"] for row in rows),
        "speed_min": round(min(row["speed"] for row in rows), 1),
    }
    _results.append("loop", {**figures, "combinations": rows})
    print(json.dumps(figures))
    return int(figures["breaks"] > 0)


if __name__ == "__main__":
    sys.exit(main())
