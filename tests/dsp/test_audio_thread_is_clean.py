"""Inside the callback: no allocation, no lock, no wait, no system call, whatever happens to the music."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jackdaw.dsp import SegmentReader, SegmentWriter

Build = Callable[[str], Path]


def _hooks(program: Path, blocks: int, *planted: str) -> tuple[int, dict[str, int | dict[str, int]]]:
    command = [str(program), "hooks", str(blocks), *planted]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return result.returncode, json.loads(result.stdout.splitlines()[-1])


def _calls_between_markers(trace: str) -> tuple[int, list[str]]:
    """Blocks seen, and the system calls that the audio thread made inside one."""
    thread = re.search(r'^(\d+) +write\(-1, "BEGIN"', trace, re.MULTILINE)
    assert thread is not None
    inside, blocks, calls = False, 0, []
    for line in trace.splitlines():
        if not line.startswith(thread[1] + " ") or "resumed>" in line:
            continue
        if 'write(-1, "BEGIN"' in line:
            inside, blocks = True, blocks + 1
        elif 'write(-1, "END"' in line:
            inside = False
        elif inside:
            calls.append(line)
    return blocks, calls


def test_millions_of_blocks_with_every_event_call_nothing_forbidden(native_program: Build) -> None:
    status, told = _hooks(native_program("audio_thread"), 2_000_000)
    assert told["calls"] == {}
    assert status == 0
    for event in ("handovers", "underruns", "dropped", "overruns", "fades", "resyncs"):
        count = told[event]
        assert isinstance(count, int)
        assert count > 50, (event, told)


def test_every_hook_sees_what_is_planted_in_the_callback(native_program: Build) -> None:
    program = native_program("audio_thread")
    names = subprocess.run([str(program), "names"], capture_output=True, text=True, check=True).stdout.split()
    assert len(names) > 30
    for name in names:
        status, told = _hooks(program, 500, name)
        calls = told["calls"]
        assert isinstance(calls, dict)
        assert calls.get(name, 0) >= 1, name
        assert status == 1, name


def test_the_kernel_is_not_entered(native_program: Build, tmp_path: Path) -> None:
    program = native_program("audio_thread")
    strace = shutil.which("strace")
    assert strace is not None, "strace is needed to watch the audio thread"
    for planted in ([], ["syscall"]):
        log = tmp_path / "trace"
        subprocess.run([strace, "-f", "-o", str(log), str(program), "trace", "5000", *planted], check=True, timeout=120)
        blocks, calls = _calls_between_markers(log.read_text())
        assert blocks == 5000
        assert [bool(re.search(r"getppid\(", call)) for call in calls] == ([True] if planted else []), calls[:5]


def test_denormals_are_flushed_inside_and_kept_outside(pair: tuple[SegmentWriter, SegmentReader]) -> None:
    writer, reader = pair
    tiny = np.full((20_000, 2), 1e-39, np.float32)
    reader.renderer.set_volume(0.5)
    writer.write(tiny)
    heard = reader.renderer.render(None, 8000)
    assert not heard.any()
    assert (tiny * np.float32(0.5)).all()
