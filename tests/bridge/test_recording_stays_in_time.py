"""Promise: a recording holds what was played, sample by sample; silence of equal length stands for what was lost."""

import numpy as np
import pytest
import soundfile
from studio import wait_until

from jackdaw.bridge.recorder import Recorder, RecorderError, free_name
from jackdaw.dsp import Client, ffi, lib


class _Tap:
    """A tap, pushed to from here as the audio thread would."""

    def __init__(self, tap):
        self.tap = tap

    def push(self, played, heard=None, click=None, wait=False):
        def planes(audio):
            if audio is None:
                return [ffi.NULL, ffi.NULL]
            return [ffi.from_buffer("float[]", np.ascontiguousarray(audio[:, c], np.float32)) for c in range(2)]

        out, into = planes(played), planes(heard)
        beats = ffi.NULL if click is None else ffi.from_buffer("float[]", click)
        lib.jd_tap_push(self.tap, ffi.new("float*[]", out), ffi.new("float*[]", into), beats, len(played), wait)

    def read(self, most=1 << 20):
        buffer, gap = np.empty((most, lib.JD_TAP_CHANNELS), np.float32), ffi.new("uint64_t*")
        count = lib.jd_tap_read(self.tap, ffi.from_buffer("float[]", buffer, require_writable=True), most, gap)
        return buffer[:count], int(gap[0])


def _numbered(start, count):
    return np.stack([np.arange(start, start + count), -np.arange(start, start + count)], axis=1).astype(np.float32)


def test_tap_tells_where_it_lost_frames():
    tap = _Tap(lib.jd_tap_new(4096))
    pushed, got = 0, []
    generator = np.random.default_rng(3)
    for _ in range(400):
        for _ in range(generator.integers(0, 12)):
            count = int(generator.integers(1, 1500))
            tap.push(_numbered(pushed, count))
            pushed += count
        for _ in range(generator.integers(1, 5)):
            block, gap = tap.read(int(generator.integers(1, 4096)))
            got += [np.full((gap, lib.JD_TAP_CHANNELS), np.nan, np.float32), block]
    while True:
        block, gap = tap.read()
        if not len(block) and not gap:
            break
        got += [np.full((gap, lib.JD_TAP_CHANNELS), np.nan, np.float32), block]
    audio = np.concatenate(got)
    # every frame is where it belongs; only a gap at the very end is not told of, but counted
    assert pushed - len(audio) <= lib.jd_tap_lost(tap.tap)
    kept = ~np.isnan(audio[:, 0])
    np.testing.assert_array_equal(audio[kept, 0], np.arange(len(audio), dtype=np.float32)[kept])
    np.testing.assert_array_equal(audio[kept, 1], -audio[kept, 0])
    np.testing.assert_array_equal(audio[kept, 2:], 0)
    assert np.count_nonzero(~kept) + pushed - len(audio) == lib.jd_tap_lost(tap.tap)
    assert 0 < lib.jd_tap_lost(tap.tap) < pushed
    lib.jd_tap_free(tap.tap)


@pytest.mark.parametrize("capacity", [0, 1000, 2048, 1 << 25])
def test_tap_refuses_other_sizes(capacity):
    assert lib.jd_tap_new(capacity) == ffi.NULL


@pytest.fixture
def recorder(tmp_path):
    client = Client()
    recorder = Recorder(tmp_path / "take.flac", client)
    yield recorder, _Tap(recorder._tap)
    recorder.end()
    client.close()
    recorder.close()


def test_both_sides_are_kept_exactly(recorder):
    recorder, tap = recorder
    recorder.begin(48000)
    generator = np.random.default_rng(5)
    grid = 1 << 23
    played, heard = (generator.integers(-grid, grid, (30000, 2)).astype(np.float32) / grid for _ in range(2))
    tap.push(np.zeros((1000, 2)), heard[:1000])
    for at in range(0, len(played), 1000):
        tap.push(played[at : at + 1000], heard[at : at + 1000], wait=True)
    result = recorder.end()
    assert (result.frames, result.lost, result.clipped) == (30000, 0, 0)
    for path, wanted in ((result.played, played), (result.heard, heard)):
        audio, rate = soundfile.read(path, dtype="float32")
        assert rate == 48000
        np.testing.assert_array_equal(audio, wanted)


def test_too_loud_is_clipped_and_told(recorder):
    recorder, tap = recorder
    recorder.begin(44100)
    tap.push(np.array([[0.5, 2.0], [-3.0, -1.0]]))
    result = recorder.end()
    assert result.clipped == 2
    assert result.heard is None
    assert not result.played.with_name("take.heard.flac").exists()
    audio, _ = soundfile.read(result.played, dtype="float32")
    np.testing.assert_array_equal(audio, np.float32([[0.5, 1 - 2.0**-23], [-1, -1]]))


def test_silence_is_no_recording(recorder, tmp_path):
    recorder, tap = recorder
    recorder.begin(48000)
    tap.push(np.zeros((1000, 2)), np.ones((1000, 2)))
    assert recorder.end().played is None
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(recorder, tmp_path):
    recorder, tap = recorder
    (tmp_path / "take.flac").write_bytes(b"precious")
    recorder.begin(48000)
    tap.push(np.ones((10, 2)) / 2)
    wait_until("the file", (tmp_path / "take-2.flac").exists)
    # another rate begins another file
    assert recorder.begin(44100).played == tmp_path / "take-2.flac"
    assert recorder.begin(44100) is None
    tap.push(np.ones((20, 2)) / 2)
    assert recorder.end().frames == 20
    assert soundfile.info(tmp_path / "take-3.flac").samplerate == 44100
    assert (tmp_path / "take.flac").read_bytes() == b"precious"
    assert free_name(tmp_path / "take.flac") == tmp_path / "take-4.flac"


def test_folder_that_is_not_there(tmp_path):
    client = Client()
    recorder = Recorder(tmp_path / "no" / "take.flac", client)
    with pytest.raises(RecorderError, match="--record"):
        recorder.begin(48000)
    client.close()
    recorder.close()


@pytest.mark.jack
def test_server_of_another_rate_begins_another_file(studio):
    room = studio(48000)
    room.start_server()
    room.start_engine()
    room.start_bridge("--no-connect", "--record", str(room.folder / "jam.flac"))
    room.wait_for_sound()
    wait_until("a beep", lambda: max(room.observe().peak_out) > 0.01)
    room.server.stop()
    room.rate = 44100
    room.start_server()
    room.wait_for_sound()
    wait_until("a beep", lambda: max(room.observe().peak_out) > 0.01)
    assert room.bridge.stop() == 0
    assert soundfile.info(room.folder / "jam.flac").samplerate == 48000
    assert soundfile.info(room.folder / "jam-2.flac").samplerate == 44100
