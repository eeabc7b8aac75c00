"""A beat can be tapped: the tempo is that of the taps, the first of a run is the first of a bar."""

import io

import numpy as np
import pytest
from engines import ctl, opened, serving
from players import playing, unique_name

from jackdaw.dsp import SegmentWriter
from jackdaw.engine._transport import MusicalTime
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.protocol.client import ControlClient


@pytest.mark.parametrize("bpm", [60.0, 97.3, 180.0])
def test_the_tempo_is_that_of_the_taps(bpm: float) -> None:
    jitter = np.random.default_rng(0).normal(0.0, 0.005, 12)
    with SegmentWriter.open(unique_name()) as writer:
        musical = MusicalTime(writer)
        found = [musical.tap(100.0 + number * 60.0 / bpm + jitter[number], 3) for number in range(12)]
        status = musical.status(48000)
    assert found[0] is None
    assert found[-1] == pytest.approx(bpm, rel=0.02)
    assert status["rolling"]
    assert status["beat"] == pytest.approx(11 % 3, abs=0.2)


def test_a_pause_begins_a_new_run() -> None:
    with SegmentWriter.open(unique_name()) as writer:
        musical = MusicalTime(writer)
        assert [musical.tap(at) is None for at in (10.0, 10.5, 11.0)] == [True, False, False]
        assert musical.tap(20.0) is None
        assert musical.tap(21.0) == pytest.approx(60.0)
        assert musical.status(48000)["beat"] == pytest.approx(1.0, abs=0.2)
        assert musical.tap(21.05) is None  # a bounce of the finger is no tempo


def test_taps_reach_a_session() -> None:
    with playing(Beep()) as (session, _):
        assert session.tap() is None
        assert session.status()["transport"]["bpm"] == 0


def test_ctl_taps_and_rolls(monkeypatch: pytest.MonkeyPatch) -> None:
    name = unique_name()
    with serving(name), ControlClient(name, timeout=10.0) as client:
        opened(client, "tapped")
        monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
        assert ctl("tap", "--engine", name).returncode == 0
        assert ctl("transport", "132", "--beats-per-bar", "3", "--engine", name).returncode == 0
        time = client.status()["transport"]
        assert (time["rolling"], time["bpm"]) == (True, 132.0)
        assert ctl("transport", "--engine", name).returncode == 0
        assert not client.status()["transport"]["rolling"]
        assert ctl("transport", "5", "--engine", name).returncode == 2
