"""Half a minute of the bundled model in each host, against what the engine itself recorded meanwhile."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile
from rooms import Room
from scipy.signal import correlate
from studio import wait_until

RATE, SECONDS = 48000, 30.0
FADE = RATE // 50
CALLS: dict[str, dict[str, Any]] = {
    "render": {"rate": RATE, "block": 512, "frames": round(SECONDS * RATE), "times": 3},
    "dream": {"rate": RATE, "block": 512, "seconds": SECONDS, "times": 3},
}


def _spectrum(audio: np.ndarray) -> np.ndarray:
    """Levels over time and frequency in dB, floor -80; shape (frames, 513)."""
    frames = np.lib.stride_tricks.sliding_window_view(audio.mean(axis=1), 1024)[::512]
    return 20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(1024))) / 256 + 1e-4)


@pytest.mark.parametrize("host", sorted(CALLS))
def test_the_host_plays_what_the_engine_made(room: Callable[[str], Room], host: str) -> None:
    place = room("tiny")
    recording = place.folder / "engine.flac"
    running = place.begin(host, **CALLS[host])
    place.ask("record", place.ready(), path=str(recording))
    wait_until("the end of the bounces", lambda: not running.alive, 150)
    assert running.stop() == 0, running.log.read_text()[-2000:]
    wait_until("a whole recording", lambda: not place.sessions(), 30)

    made, rate = soundfile.read(recording, dtype="float32", always_2d=True)
    assert rate == RATE
    before, played = (place.audio(number).T for number in (1, 2))  # pedalboard learns the latency in its first
    np.testing.assert_array_equal(before, played)

    # where a second of the bounce lies in the recording, which holds them all
    piece = played[10 * RATE : 11 * RATE, 0]
    at = int(np.argmax(correlate(made[:, 0], piece, mode="valid", method="fft"))) - 10 * RATE
    begin = max(0, -at) + FADE
    end = min(len(played), len(made) - at) - FADE
    assert end - begin > 25 * RATE
    ours, theirs = played[begin:end], made[at + begin : at + end]
    assert np.sqrt(np.mean(ours**2)) > 0.01
    assert np.abs(_spectrum(ours) - _spectrum(theirs)).max() < 0.1
    assert np.abs(ours - theirs).max() < 2.0**-22  # 24 bits in the file
