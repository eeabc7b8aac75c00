"""A training that is killed takes its helpers with it."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def helpers(parent: int) -> set[int]:
    """Processes that make songs, started by `parent`."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents = (path / "stat").read_text().rpartition(")")[2].split()[1]
            command = (path / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            continue
        if int(parents) == parent and b"spawn_main" in command:
            found.add(int(path.name))
    return found


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_songs_are_not_made_for_nobody(tmp_path: Path, how: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "jackdaw",
        "train",
        "corpus",
        "--run",
        str(tmp_path),
        "--hours",
        "9",
        "--jobs",
        "2",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while len(there := helpers(process.pid)) < 2 and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
        assert len(there) == 2
        time.sleep(1.0)
        process.send_signal(how)
        process.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in there) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in there if Path(f"/proc/{pid}").exists()]
