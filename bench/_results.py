"""Rows of figures: one JSON line per run in bench/results, with the commit and the machine."""

import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

__all__ = ["append"]


_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimddp", "i8mm")


def _processor() -> str:
    """Return the processor's name and those of its instruction sets on which figures hang."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    told = dict(reversed([(key.strip(), value.strip()) for key, _, value in (line.partition(":") for line in lines)]))
    has = (told.get("flags") or told.get("Features") or "").split()
    sets = [name for name in _INSTRUCTIONS if name in has]
    return " ".join([told.get("model name", platform.machine()), *sets])


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
