"""These tests need the plugin, built; ``make test-plugin`` builds it, sets JACKDAW_PLUGIN_TESTS and runs them."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from rooms import Room

collect_ignore_glob = [] if os.environ.get("JACKDAW_PLUGIN_TESTS") else ["test_*.py"]


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
