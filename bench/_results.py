"""Rows of figures: one JSON line per run in bench/results, with the commit and the machine."""

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

__all__ = ["append"]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def append(name: str, figures: dict[str, Any]) -> None:
    """Append figures to ``bench/results/NAME.jsonl``."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    row = {
        "commit": commit.stdout.strip(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        **figures,
    }
    path = Path(__file__).parent / "results" / f"{name}.jsonl"
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
