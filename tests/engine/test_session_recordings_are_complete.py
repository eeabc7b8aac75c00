"""A recording holds what the session made, sample by sample, and overwrites nothing."""

import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from players import Reader, hosting, opened, playing, unique_name, wait_for

from jackdaw.engine._recording import Recording
from jackdaw.engine.models.beep import Beep

RAMP = 1 << 24


def codes(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    """Return what a file of 24 bits holds, as whole numbers."""
    samples, _ = soundfile.read(path, dtype="int32", always_2d=True)
    return samples.astype(np.int64) >> 8


def test_every_step_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "take.flac"
    with playing(Beep("beep-ramp")) as (session, name), Reader(name, rate=44100) as reader:
        reader.wait_until_engine_is_ready()
        reader.render(0.3)
        assert session.record(path) == path
        reader.render(2.0)
        assert session.status()["recording"]["path"] == str(path)
        assert session.record(None) == path
        assert session.status()["recording"] is None
        assert session.record(None) is None
    info = soundfile.info(path)
    assert (info.samplerate, info.subtype, info.format) == (48000, "PCM_24", "FLAC")
    left = codes(path)[:, 0]  # of 2**23, where the ramp counts in 2**24
    start = 2 * left[0]
    assert len(left) % 1920 == 0
    assert len(left) > 48000
    assert np.abs(left - (start + np.arange(len(left))) / 2).max() <= 1


def test_an_existing_file_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "take.flac"
    path.write_bytes(b"precious")
    with playing(Beep()) as (session, _):
        with pytest.raises(FileExistsError, match="another name"):
            session.record(path)
        with pytest.raises(OSError, match="folder"):
            session.record(tmp_path / "folder" / "take.flac")
        with pytest.raises(ValueError, match="flac"):
            session.record(tmp_path / "take.wav")
        assert session.status()["recording"] is None
    assert path.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [path]


def test_a_recording_goes_on_until_it_is_ended(tmp_path: Path) -> None:
    with hosting(Beep("beep-ramp")) as host:
        session = opened(host, "beep-ramp", name=unique_name())
        session.record(tmp_path / "a.flac")
        with pytest.raises(ValueError, match=r"a\.flac"):
            session.record(tmp_path / "b.flac")
        with Reader(session.name) as reader:
            reader.wait_until_engine_is_ready()
            reader.render(1.0)
        wait_for(lambda: not session.status()["reader_alive"])
        host.close(session.name)
    assert len(codes(tmp_path / "a.flac")) > 24000
    assert not (tmp_path / "b.flac").exists()


def test_a_recording_of_nothing_leaves_no_file(tmp_path: Path) -> None:
    with playing(Beep()) as (session, _):
        session.record(tmp_path / "a.flac")
        assert session.record(None) is None
    assert list(tmp_path.iterdir()) == []


def test_a_slow_disk_costs_sound_in_the_file_and_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into the queue is silence in the file: what follows is in its place."""
    go = threading.Event()
    write = soundfile.SoundFile.write

    def slow(self: soundfile.SoundFile, data: "np.ndarray[tuple[int, ...], np.dtype[np.int32]]") -> None:
        assert go.wait(20.0)
        write(self, data)

    monkeypatch.setattr(soundfile.SoundFile, "write", slow)
    recording = Recording(tmp_path / "a.flac", 48000, 2)
    block = np.full((100, 2), 0.5, np.float32)
    for _ in range(300):
        recording.offer(block)  # nobody writes: this must come to an end all the same
    assert recording.status()["lost_s"] > 0
    go.set()
    wait_for(recording._queue.empty)
    recording.offer(block)
    assert recording.close() == tmp_path / "a.flac"
    levels = codes(tmp_path / "a.flac")[:, 0].reshape(301, 100)
    assert np.all(levels[:256] == 1 << 22)
    assert np.all(levels[-1] == 1 << 22)
    assert np.all((levels == 0).all(1) | (levels == 1 << 22).all(1))
    assert round(recording.status()["lost_s"] * 480) == np.count_nonzero((levels == 0).all(1))
