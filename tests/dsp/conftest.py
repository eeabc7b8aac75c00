"""A session of its own for every test, gone afterwards."""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jackdaw.dsp import SegmentReader, SegmentWriter, segment_path

_numbers = itertools.count()


@pytest.fixture
def session() -> Iterator[str]:
    name = f"test-{os.getpid()}-{next(_numbers)}"
    yield name
    path = segment_path(name)
    for left in [path, *path.parent.glob(f"{path.name}.new-*")]:
        if left.is_dir() and not left.is_symlink():
            left.rmdir()
        else:
            left.unlink(missing_ok=True)


@pytest.fixture
def pair(session: str) -> Iterator[tuple[SegmentWriter, SegmentReader]]:
    """Both sides of a segment at 48 kHz, armed, with a target of 200 ms and no limit."""
    with SegmentWriter.open(session) as writer, SegmentReader.attach(session) as reader:
        reader.set_reader(48000, 128)
        reader.arm(True)
        writer.publish(target=9600, limit=0, ring_rate=48000)
        yield writer, reader


@pytest.fixture(scope="session")
def repository() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def native_program(repository: Path) -> Callable[[str], Path]:
    """Build a program of tests/native (once; later runs rebuild what changed) and say where it is."""
    tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    cmake = shutil.which("cmake", path=tools)
    assert cmake is not None, "cmake is needed to build the native tests"
    environment = {**os.environ, "PATH": tools}
    folder = repository / "build" / "native"

    def build(name: str) -> Path:
        for command in (
            [cmake, "-S", str(repository), "-B", str(folder), "-DJACKDAW_NATIVE_TESTS=ON"],
            [cmake, "--build", str(folder), "--target", name],
        ):
            result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert result.returncode == 0, result.stdout + result.stderr
        return folder / "tests" / "native" / name

    return build
