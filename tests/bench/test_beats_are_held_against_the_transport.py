"""Beats of a take are held against the transport as it was at that instant, whatever cycles JACK skipped."""

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
from studio import Take

RATE, PERIOD, STANDS = 48000, 128, 2**64 - 1


def take_of(transport: NDArray[np.uint64]) -> Take:
    """Return a take of silence whose cycles begin at these frames of the transport."""
    begun = np.arange(len(transport), dtype=np.uint64) * np.uint64(PERIOD)
    cycles = np.stack([begun, transport, begun, transport], axis=1)
    return Take(np.zeros((len(begun) * PERIOD, 2), np.float32), cycles, {"rate": RATE})


def test_a_skipped_cycle_does_not_move_the_beats_before_it() -> None:
    """Two minutes in which 76 ms are lost, and music that is 5 ms late all the while."""
    bpm = 80.0
    cycles = np.arange(120 * RATE // PERIOD, dtype=np.uint64)
    transport = (cycles + cycles // np.uint64(1600)) * np.uint64(PERIOD)
    take = take_of(transport)
    sounded = (np.arange(1, 155) * 60.0 / bpm + 0.005) * RATE
    row = np.searchsorted(transport, sounded, side="right") - 1
    within = sounded - transport[row]
    beats = (take.cycles[row, 0] + within)[within < PERIOD] / RATE
    off = take.off_beat(beats, bpm)
    assert len(beats) > 150
    assert np.abs(off - 0.005).max() < 1e-6
    assert abs(np.polyfit(beats, off, 1)[0]) < 1e-6


def test_a_take_may_begin_at_any_beat() -> None:
    take = take_of(np.arange(1000, dtype=np.uint64) * np.uint64(PERIOD) + np.uint64(RATE * 10))
    assert take.off_beat(np.array([0.5, 1.01, 1.48]), 120.0) == pytest.approx([0.0, 0.01, -0.02])


def test_a_transport_that_stands_has_no_beats() -> None:
    transport = np.arange(1000, dtype=np.uint64) * np.uint64(PERIOD)
    transport[:10] = STANDS
    take = take_of(transport)
    assert take.transport_at(np.array([1280.0])) == pytest.approx([1280.0])
    with pytest.raises(ValueError, match="stood"):
        take.off_beat(np.array([0.001, 1.0]), 120.0)
