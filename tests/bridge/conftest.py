"""Real JACK servers, engines, bridges and probes for these tests; see ``bench/studio.py``."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from studio import Studio


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Callable[..., Studio]]:
    """Make studios that end with the test, with a control socket of their own."""
    made: list[Studio] = []

    def make(rate: int = 48000, period: int = 256, model: str = "beep") -> Studio:
        made.append(Studio(tmp_path, rate, period, model))
        return made[-1]

    yield make
    for one in made:
        one.close()
