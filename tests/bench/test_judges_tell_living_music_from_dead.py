"""The judges know silence, clipping and broken numbers from music, measure loudness, and compare chords by time."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
import judge_music

Samples = judge_music.Audio


def sine(seconds: float, peak: float, *, channels: tuple[float, float] = (1, 1)) -> Samples:
    t = np.arange(int(seconds * 48000)) / 48000
    return (peak * np.sin(2 * np.pi * 997 * t)[:, None] * np.array(channels)).astype(np.float32)


def test_music_lives() -> None:
    report = judge_music.liveness(sine(5, 0.5))
    assert report["alive"]
    assert report["peak_dbfs"] == pytest.approx(-6.02, abs=0.02)


@pytest.mark.parametrize(
    "dead",
    [
        np.concatenate([sine(1, 0.5), np.zeros((48000 * 4, 2), np.float32), sine(1, 0.5)]),
        np.zeros((48000 * 4, 2), np.float32),
        np.clip(sine(5, 3.0), -1, 1),
        np.concatenate([sine(1, 0.5), np.full((1, 2), np.nan, np.float32)]),
        np.zeros((0, 2), np.float32),
    ],
    ids=["hole of 4 s", "silence", "clipped", "not a number", "empty"],
)
def test_what_is_dead_is_called_dead(dead: Samples) -> None:
    assert not judge_music.liveness(dead)["alive"]


def test_a_hole_is_measured() -> None:
    audio = np.concatenate([sine(1, 0.5), np.zeros((48000 * 2, 2), np.float32), sine(1, 0.5)])
    report = judge_music.liveness(audio)
    assert report["longest_silence_s"] == pytest.approx(2, abs=0.02)
    assert report["alive"]


def test_loudness_is_that_of_the_standard() -> None:
    # BS.1770-4: a full-scale sine of 997 Hz in one channel reads -3.01 LUFS
    assert judge_music.liveness(sine(6, 0.1, channels=(1, 0)))["loudness_lufs"] == pytest.approx(-23.0, abs=0.1)
    # EBU Tech 3342, minimum requirements: 20 s at -20 dBFS, 20 s at -30 dBFS has a range of 10 LU
    steps = np.concatenate([sine(20, 10**-1.0), sine(20, 10**-1.5)])
    assert judge_music.liveness(steps)["loudness_range_lu"] == pytest.approx(10, abs=1)


def test_chords_are_compared_by_time() -> None:
    one = [(0.0, 2.0, "C:maj"), (2.0, 4.0, "A:min")]
    other = [(0.0, 1.0, "C:maj"), (1.0, 2.0, "C:min"), (2.0, 4.0, "A:min")]
    assert judge_music.agreement(one, one) == 1.0
    assert judge_music.agreement(one, other) == pytest.approx(0.75)
    assert judge_music.agreement(one, other, roots=True) == 1.0
    assert judge_music.agreement(one, []) is None
