"""Inside processBlock, in real time: no allocation, no lock, no wait, no system call, whatever happens."""

import json
import shutil
import subprocess
from pathlib import Path

_BUILD = Path(__file__).resolve().parents[2] / "build" / "plugin"


def _run(*arguments):
    ninja = shutil.which("ninja")
    assert ninja is not None
    subprocess.run([ninja, "-C", str(_BUILD), "plugin_thread"], check=True, capture_output=True)
    program = _BUILD / "plugin_stub" / "plugin_thread"
    result = subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False, timeout=300)
    return result.returncode, json.loads(result.stdout.splitlines()[-1])


def test_processing_calls_nothing_forbidden():
    status, told = _run("300000")
    assert told["calls"] == {}
    assert told["handovers"] > 100
    assert status == 0


def test_a_planted_allocation_is_seen():
    status, told = _run("1000", "plant")
    assert told["calls"] == {"malloc": 1, "free": 1}
    assert status == 1
