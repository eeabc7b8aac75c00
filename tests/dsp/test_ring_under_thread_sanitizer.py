"""Engine, audio and control threads at once: no data race, no bad access, no undefined behaviour, no torn frame."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from jackdaw.dsp import segment_path

Build = Callable[[str], Path]


def _run(program: Path, session: str, seconds: float, *more: str) -> subprocess.CompletedProcess[str]:
    prefix = str(segment_path(session)) + "-"
    return subprocess.run(
        ["nice", str(program), str(seconds), prefix, *more], capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize(("program", "seconds"), [("stress_plain", 3), ("stress_thread", 8), ("stress_address", 5)])
def test_threads_on_one_segment_never_race_or_tear(
    native_program: Build, session: str, program: str, seconds: float
) -> None:
    result = _run(native_program(program), session, seconds)
    assert result.returncode == 0, result.stdout + result.stderr[:5000]
    numbers = re.fullmatch(r"quiet (\d+) restless (\d+) .* fades (\d+) faults 0\n", result.stdout)
    assert numbers is not None, result.stdout
    assert all(int(n) > 20 for n in numbers.groups()), result.stdout


def test_the_thread_sanitizer_sees_a_second_writer(native_program: Build, session: str) -> None:
    result = _run(native_program("stress_thread"), session, 4, "planted")
    assert result.returncode != 0
    assert "data race" in result.stderr
