"""Promise: beside a recording lies a MIDI file whose markers and grid are where they were heard."""

import contextlib
import os
import signal
import sys
import time

import numpy as np
import pytest
import soundfile
from midi_files import MidiFile
from studio import Process, wait_until

from jackdaw.bridge._take_clock import TakeClock
from jackdaw.cli._markers import Markers
from jackdaw.cli._midi_file import Span, beats_of, midi_file
from jackdaw.engine.protocol.client import ControlClient
from jackdaw.engine.protocol.messages import ControlError

RATE = 48000
NEAR_S = 0.020

# ---- the file ----------------------------------------------------------------------------------------------

SPANS = {
    "nothing rolls": [],
    "rolling already": [Span(-3.21, 133.0, 1.5, 3)],
    "started later": [Span(2.345, 97.0, 0.0, 4), Span(9.1)],
    "started within a bar": [Span(1.234, 120.0, 2.7, 4)],
    "another tempo": [Span(0.7, 90.0, 0.0, 4), Span(6.03, 151.3, 3.9, 4)],
    "elsewhere": [Span(0.1, 120.0, 0.0, 4), Span(5.11, 120.0, 1.45, 4), Span(8.0, 120.0, 0.02, 4)],
    "stopped and on again": [
        Span(0.0, 100.0, 0.0, 5),
        Span(4.0),
        Span(4.1, 100.0, 0.0, 5),
        Span(7.0),
        Span(9.77, 60.0),
    ],
}


@pytest.mark.parametrize("name", SPANS)
def test_every_beat_of_the_transport_is_on_the_grid(name):
    spans, end = SPANS[name], 14.0
    file = MidiFile(midi_file(beats_of(spans, end), [(end * part / 7, f"m{part}") for part in range(8)]))
    for part in range(8):
        assert file.marker(f"m{part}") == pytest.approx(end * part / 7, abs=0.002)
    times = np.array([at for at, _ in file.beats])
    assert times[-1] >= end
    assert np.diff(times).min() > 0.1
    for index, span in enumerate(spans):
        after = spans[index + 1].start if index + 1 < len(spans) else end
        for number in range(100 if span.bpm else 0):
            at = span.start + (number - span.beat) * 60.0 / span.bpm
            if max(span.start, 0.0) + 0.5 <= at < after - 0.5:
                nearest = int(np.abs(times - at).argmin())
                assert times[nearest] == pytest.approx(at, abs=0.002)
                assert file.beats[nearest][1] == (number % span.beats_per_bar == 0)
    if not spans:
        assert file.tempi == pytest.approx([120.0])
        assert [is_bar for _, is_bar in file.beats[:5]] == [True, False, False, False, True]


def test_an_hour_stays_on_the_grid():
    file = MidiFile(midi_file(beats_of([Span(1.0, 127.3, 0.0, 4)], 3600.0), [(3599.0, "late")]))
    times = np.array([at for at, _ in file.beats])
    assert file.marker("late") == pytest.approx(3599.0, abs=0.002)
    assert np.abs(times - (1.0 + 7000 * 60 / 127.3)).min() < 0.002
    assert len(file.tempi) < 40


# ---- the recording's time ----------------------------------------------------------------------------------


@pytest.mark.parametrize("period", [64, 256, 1024])
def test_the_drain_thread_knows_when_a_frame_was_played(period):
    """Blocks come late by up to a millisecond, a few by much more, and the sound card is slow by 80 millionths."""
    generator = np.random.default_rng(period)
    clock, known = TakeClock(RATE), []
    period_ns = period / RATE * 1e9 * (1 + 80e-6)
    late = generator.uniform(0, 1e6, 400_000) + (generator.random(400_000) < 0.01) * 8e6
    now, begin = 7e9, 7e9
    while now < begin + 300e9:
        now += 20e6 + generator.exponential(0.3e6)
        blocks = int((now - begin) / period_ns)
        while blocks and begin + blocks * period_ns + late[blocks] > now:
            blocks -= 1
        news = clock.read(int(now), (blocks + 1) * period)
        if news is not None:
            known.append(news)
    assert 2 <= len(known) <= 10
    for second in range(2, 300):
        frame = second * RATE
        true = begin + frame / period * period_ns
        before = [point for point in known if point[1] <= true]
        assert before[-1][1] + (frame - before[-1][0]) / RATE * 1e9 == pytest.approx(true, abs=8e6)


def test_a_short_recording_has_a_time_too():
    clock = TakeClock(RATE)
    assert clock.news() is None
    for number in range(1, 10):
        assert clock.read(10**9 + number * 20_000_000, number * 960) is None
    frame, ns = clock.news()
    assert ns - frame * 1e9 / RATE == pytest.approx(1e9, abs=1e6)


# ---- which markers -----------------------------------------------------------------------------------------


def words(events, end_s=10.0, preset=None, tmp_path=None):
    """Return the markers of a recording that begins at 100 s."""
    markers = Markers(preset)
    markers.look({"events": [{"ns": int((100 + at) * 1e9), "kind": kind, "text": text} for at, kind, text in events]})
    log = tmp_path / "bridge.log"
    target = tmp_path / f"{len(list(tmp_path.iterdir()))}.flac"
    log.write_text(
        f'{{"event": "recording", "file": "{target}", "rate": 48000, "frame": 4800, "ns": {int(100.1e9)}}}\nnot json\n'
        f'{{"event": "recorded", "played": "{target}", "frames": {int(end_s * 48000)}}}\n'
    )
    assert markers.write(log) == [target.with_suffix(".mid")]
    return [(round(at, 2), text) for at, text in MidiFile.read(target.with_suffix(".mid")).markers]


def test_what_holds_at_the_start_is_of_the_start(tmp_path):
    before = [(-3, "start", "tiny, seed 1"), (-3, "prompts", "a"), (-2, "mark", "x"), (-1, "prompts", "b")]
    assert words([*before, (4, "mark", "solo"), (11, "mark", "after")], preset="slow", tmp_path=tmp_path) == [
        (0.0, "tiny, seed 1, preset slow; b"),
        (4.0, "solo"),
    ]


def test_a_weight_that_is_turned_is_one_marker(tmp_path):
    turned = [(2 + 0.1 * number, "prompts", f"a {number / 10:g}") for number in range(10)]
    assert words([*turned, (5, "prompts", "b")], tmp_path=tmp_path) == [(2.9, "a 0.9"), (5.0, "b")]


def test_tempo_taps_are_one_marker_and_the_grid_follows_them(tmp_path):
    markers, log = Markers(), tmp_path / "bridge.log"
    rolling = {"rolling": True, "beats_per_bar": 4}
    events = [
        {"ns": 10**9, "kind": "transport", "text": "transport starts, 100 bpm", "bpm": 100.0, "beat": 0.0, **rolling}
    ]
    for number in range(1, 5):
        tapped = {"bpm": 100.0 + number, "beat": float(number % 4), "text": f"{100 + number} bpm, 4 beats a bar"}
        events.append({"ns": 10**9 + number * 600_000_000, "kind": "tempo", **tapped, **rolling})
    markers.look({"events": events})
    log.write_text(
        f'{{"event": "recording", "file": "{tmp_path / "0.flac"}", "rate": 48000, "frame": 0, "ns": 0}}\n'
        f'{{"event": "recorded", "played": "{tmp_path / "0.flac"}", "frames": 480000}}\n'
    )
    file = MidiFile.read(markers.write(log)[0])
    assert file.markers == [
        (pytest.approx(1.0, abs=0.002), "transport starts, 100 bpm"),
        (pytest.approx(3.4, abs=0.002), "104 bpm, 4 beats a bar"),
    ]
    times = np.array([at for at, _ in file.beats])
    for beat in (1.0, 1.6, 2.2, 2.8, 3.4, 3.4 + 60 / 104, 3.4 + 10 * 60 / 104):
        assert np.abs(times - beat).min() < 0.002


def test_a_file_that_is_there_stays(tmp_path):
    (tmp_path / "0.mid").write_bytes(b"precious")
    markers, log = Markers(), tmp_path / "bridge.log"
    log.write_text(f'{{"event": "recording", "file": "{tmp_path / "0.flac"}", "rate": 48000, "frame": 1, "ns": 1}}\n')
    with pytest.raises(FileExistsError):
        markers.write(log)
    assert (tmp_path / "0.mid").read_bytes() == b"precious"
    assert len(list(tmp_path.iterdir())) == 2


# ---- a jam -------------------------------------------------------------------------------------------------


@pytest.fixture
def jamming(studio, tmp_path, monkeypatch):
    """Return a function that starts a jam that records; yields it, its control, and where it records to."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    @contextlib.contextmanager
    def jam(*arguments, model="beep"):
        room = studio(RATE, 256, model)
        room.start_server()
        path = tmp_path / "jam.flac"
        command = [sys.executable, "-m", "jackdaw", "jam", "--model", model, "--session", room.session]
        command += ["--server", room.session, "--record", str(path), *arguments]
        process = Process(command, tmp_path / "jam.log")
        try:
            room.wait_for_sound()
            with contextlib.closing(ControlClient(room.session, room.session, timeout=5.0)) as control:
                yield room, process, control, path
        finally:
            process.stop()

    return jam


@pytest.mark.jack
def test_clicks_are_on_the_grid_and_words_where_they_were_said(jamming):
    with jamming("--prompt", "disco funk:0.7", "--prompt", "bossa nova:0.3", "--timebase", "97/3") as jam:
        _, process, control, path = jam
        time.sleep(1.5)
        control.tell("transport", bpm=97.0, beat=0.0, beats_per_bar=3, rolling=True)
        time.sleep(3.0)
        control.prompt([{"text": "acid house"}])
        time.sleep(1.5)
        control.tell("mark", text="solo")
        control.tell("reset", seed=11)
        time.sleep(2.0)
        control.tell("transport", bpm=97.0, beat=0.0, beats_per_bar=3, rolling=False)
        time.sleep(1.0)
        process.popen.send_signal(signal.SIGINT)
        assert process.popen.wait(20) == 0
    file = MidiFile.read(path.with_suffix(".mid"))
    assert file.markers[0][0] == 0.0
    assert file.markers[0][1].startswith("beep, seed 0; disco funk 0.7, bossa nova 0.3")
    began, ended = file.marker("transport starts"), file.marker("transport stops")
    assert began < file.marker("acid house") < file.marker("solo") < file.marker("reset, seed 11") < ended
    click, rate = soundfile.read(path.with_name("jam.click.flac"))
    assert rate == RATE
    assert file.beats[-1][0] == pytest.approx(len(click) / rate, abs=2.0)
    sounding = np.flatnonzero(click)
    starts = sounding[np.concatenate([[True], np.diff(sounding) > 2400])]
    assert len(starts) >= 8
    times = np.array([at for at, _ in file.beats])
    for start in starts:
        nearest = int(np.abs(times - start / rate).argmin())
        assert times[nearest] == pytest.approx(start / rate, abs=NEAR_S)
        assert file.beats[nearest][1] == (np.abs(click[start : start + 480]).max() > 0.4), "the accent is the bar"
    # the beeps of a fresh state say when it began
    played, _ = soundfile.read(path)
    offset = np.random.default_rng(11).integers(24000)
    first = round((file.marker("reset, seed 11") + (24000 - offset) / RATE) * RATE)
    loud = np.abs(played[first - 4800 : first + 4800, 0])
    middle = first - 4800 + np.sum(np.arange(len(loud)) * loud) / loud.sum()
    assert middle - 960 == pytest.approx(first, abs=NEAR_S * RATE)


@pytest.mark.jack
def test_markers_survive_the_engine_and_are_where_the_music_begins_anew(jamming):
    """The ramp says of every sample how old its stream is."""
    with jamming(model="beep-ramp") as (room, process, control, path):
        time.sleep(1.5)
        control.tell("reset", seed=3)
        time.sleep(1.0)
        seen = room.observe()
        dead = seen.writer_pid
        os.kill(dead, signal.SIGKILL)
        wait_until("a new engine", lambda: room.observe().writer_pid not in (0, dead))
        room.wait_for_sound()
        time.sleep(1.5)
        process.popen.send_signal(signal.SIGINT)
        assert process.popen.wait(20) == 0
        with pytest.raises(ControlError):
            control.status()
    file = MidiFile.read(path.with_suffix(".mid"))
    assert [text for _, text in file.markers] == [
        "beep-ramp, seed 0; no prompt",
        "reset, seed 3",
        "beep-ramp, seed 0; no prompt",
    ]
    assert file.tempi == pytest.approx([120.0])
    played, _ = soundfile.read(path)
    for at, _ in file.markers:
        frame = round((at + 0.3) * RATE)
        age = played[frame, 0] * 2**24 - 1
        assert frame - age == pytest.approx(at * RATE, abs=NEAR_S * RATE)


@pytest.mark.jack
def test_a_midi_file_that_is_there_is_not_recorded_over(studio, tmp_path):
    (tmp_path / "jam.mid").write_bytes(b"precious")
    process = Process(
        [sys.executable, "-m", "jackdaw", "jam", "--record", str(tmp_path / "jam.flac")], tmp_path / "log"
    )
    assert process.popen.wait(30) == 2
    assert "jam.mid" in process.log.read_text()
