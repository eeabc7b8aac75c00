"""The engine's runtimes report nothing to anybody, whatever the packages below them would do by themselves."""

import subprocess
import sys

SCRIPT = """
import os, socket, sys
os.fork = lambda: sys.exit("forked")
socket.socket.connect = lambda *_: sys.exit("connected")
import jackdaw.engine.runtime.openvino_mrt2
import openvino.tools.ovc.telemetry_utils as reporting
sys.exit(0 if reporting.tm.__name__.endswith("telemetry_stub") else "reports")
"""


def test_openvino_reports_nothing() -> None:
    environment = {"PATH": "/usr/bin", "HOME": "/nonexistent"}  # without CI=..., which silences it, too
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
