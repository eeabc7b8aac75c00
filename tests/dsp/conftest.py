"""A session of its own for every test, gone afterwards."""

import itertools
import os
from collections.abc import Iterator
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
