"""Waveforms: what is written is what is read; joining and cutting lose nothing."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from jackdaw.audio import Waveform, concatenate, write_file


def tone(seconds: float = 1.0, rate: int = 48000, channels: int = 2, hertz: float = 440.0) -> Waveform:
    mono = 0.5 * np.sin(2 * np.pi * hertz / rate * np.arange(round(seconds * rate)))
    return Waveform(np.repeat(mono[:, None], channels, axis=1), rate)


@pytest.mark.parametrize("ending", ["wav", "flac"])
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_written_is_read(tmp_path: Path, ending: str, channels: int) -> None:
    wave = tone(channels=channels, rate=44100)
    wave.write(tmp_path / f"a.{ending}")
    again = Waveform.from_file(tmp_path / f"a.{ending}")
    assert again.sample_rate == 44100
    assert again.samples.dtype == np.float32
    assert np.abs(again.samples - wave.samples).max() < 2**-23


@pytest.mark.parametrize(("kind", "ending"), [("OGG", "ogg"), ("MP3", "mp3")])
def test_compressed_files_are_read(tmp_path: Path, kind: str, ending: str) -> None:
    wave = tone()
    soundfile.write(tmp_path / f"a.{ending}", wave.samples, 48000, format=kind)
    again = Waveform.from_file(tmp_path / f"a.{ending}")
    assert again.duration == pytest.approx(1.0, abs=0.1)
    assert again.peak() == pytest.approx(0.5, abs=0.1)


def test_reading_can_be_bounded(tmp_path: Path) -> None:
    tone(3.0).write(tmp_path / "a.flac")
    assert len(Waveform.from_file(tmp_path / "a.flac", longest=1.5)) == 72000
    assert len(Waveform.from_file(tmp_path / "a.flac", longest=9.0)) == 144000


def test_files_that_are_not_audio_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("no audio")
    with pytest.raises(ValueError, match=r"a\.wav"):
        Waveform.from_file(tmp_path / "a.wav")
    with pytest.raises(FileNotFoundError, match=r"b\.wav"):
        Waveform.from_file(tmp_path / "b.wav")
    with pytest.raises(ValueError, match=r"\.wav or \.flac"):
        tone().write(tmp_path / "c.ogg")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    tone().write(path)
    before = path.read_bytes()

    def fail() -> None:
        with write_file(path, 48000, 2) as append:
            append(np.zeros((100, 2), np.float32))
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]


def test_resampling_keeps_the_tone() -> None:
    wave = tone(rate=44100).resample(48000)
    assert len(wave) == 48000
    inner = slice(4800, 43200)
    assert np.abs(wave.samples[inner] - tone().samples[inner]).max() < 1e-3
    assert tone().resample(48000).samples is not None


def test_cutting_and_joining_gives_the_whole() -> None:
    wave = tone(2.0)
    pieces = [wave.cut(start, start + 0.25) for start in np.arange(0, 2, 0.25)]
    assert np.array_equal(concatenate(pieces).samples, wave.samples)


def test_crossfading_overlaps_by_equal_power() -> None:
    ones = Waveform(np.ones((4800, 1), np.float32), 48000)
    joined = concatenate([ones, ones, ones], crossfade_time=0.01)
    assert len(joined) == 3 * 4800 - 2 * 480
    ramp = np.sin(np.linspace(0, np.pi / 2, 480, endpoint=False))
    assert joined.samples[4320:4800, 0] == pytest.approx(ramp + ramp[::-1], abs=1e-6)
    assert np.all(joined.samples[:4320] == 1)


def test_pieces_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="no chunks"):
        concatenate([])
    with pytest.raises(ValueError, match="chunk 1"):
        concatenate([tone(), tone(rate=44100)])
    with pytest.raises(ValueError, match="crossfade"):
        concatenate([tone(0.1), tone(0.1)], crossfade_time=0.2)
    with pytest.raises(ValueError, match="mix them"):
        tone(channels=2).with_channels(3)
    with pytest.raises(ValueError, match="shape"):
        Waveform(np.zeros((2, 2, 2), np.float32), 48000)
