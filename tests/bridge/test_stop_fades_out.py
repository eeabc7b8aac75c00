"""Promise: told to stop, the client fades out, finishes the recording and ends with code 0; JACK hears no click."""

import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from studio import Process
from tone_engine import FREQUENCY_HZ, LEVEL


@pytest.mark.jack
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop(studio, number):
    room = studio(48000, 128)
    room.start_server()
    record = room.folder / "tone.flac"
    room.start_bridge("--no-connect", "--record", str(record))
    tone = str(Path(__file__).with_name("tone_engine.py"))
    engine = Process([sys.executable, tone, room.session, "0.4"], room.folder / "tone.log")
    room.wait_for_sound()
    time.sleep(0.5)
    room.bridge.popen.send_signal(number)
    assert room.bridge.popen.wait(10) == 0
    engine.kill()
    assert [line["event"] for line in room.bridge.events()][-2:] == ["recorded", "stopped"]
    audio, rate = soundfile.read(record)
    turn = 2.0 * np.cos(2.0 * np.pi * FREQUENCY_HZ / rate)
    x = np.append(audio[:, 0], np.zeros(480))  # what follows is silence: it must fit on without a jump
    roughness = np.max(np.abs(x[2:] - turn * x[1:-1] + x[:-2])) / LEVEL
    assert np.max(np.abs(x)) > 0.99 * LEVEL
    assert np.max(np.abs(audio[-1])) < 0.001
    assert roughness < 0.02
