"""These tests need the plugin, built; ``make test-plugin`` builds it and runs them."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rooms import Room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Callable[[str], Room]]:
    """Make rooms whose plugins play a model."""
    made: list[Room] = []

    def make(model: str) -> Room:
        made.append(Room(tmp_path, model))
        return made[-1]

    yield make
    for one in made:
        one.close()
