"""The engine may be killed, the reader may go and come: the other side stays, and the music comes back."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
from players import Reader, band_limited_noise, playing, unique_name, wait_for

from jackdaw.dsp import segment_path
from jackdaw.engine.models.beep import Beep


def start_engine(name: str, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "jackdaw.engine", "--session", name, "--model", "beep-ramp", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    wait_for(lambda: segment_path(name).exists() or process.poll() is not None)
    return process


def test_a_killed_engine_is_replaced_and_the_music_comes_back() -> None:
    name = unique_name()
    first = start_engine(name)
    with Reader(name, freewheel=False) as reader:
        reader.wait_until_engine_is_ready()
        assert np.abs(reader.render(1.0, paced=True)).max() > 0
        instance = reader.segment.writer_instance
        first.send_signal(signal.SIGKILL)
        first.wait()
        wait_for(lambda: not reader.segment.writer_alive)
        quiet = reader.render(1.0, paced=True)
        assert np.all(quiet[-4800:] == 0)
        second = start_engine(name)
        wait_for(lambda: reader.segment.writer_instance != instance)
        reader.wait_until_engine_is_ready()
        again = reader.render(1.0, paced=True)
        assert not reader.segment.replaced()
        assert np.abs(again[-4800:]).max() > 0
        second.send_signal(signal.SIGTERM)
        reader.render(1.0, paced=True)
        assert second.wait(20) == 0
        assert second.stderr is not None
        lines = [json.loads(line) for line in second.stderr.read().splitlines()]
        assert [line["event"] for line in lines][-1] == "stopped"
        assert all({"ts", "level", "room", "event"} <= set(line) for line in lines)


def test_a_second_engine_is_refused_while_one_lives() -> None:
    with playing(Beep()) as (_, name):
        process = subprocess.run(
            [sys.executable, "-m", "jackdaw.engine", "--session", name, "--model", "beep"],
            stderr=subprocess.PIPE,
            check=False,
        )
        last = json.loads(process.stderr.splitlines()[-1])
        assert process.returncode == 1
        assert last["level"] == "error"
        assert name in last["text"]


def test_a_reader_may_go_and_another_may_come_at_another_rate() -> None:
    with playing(Beep("beep-echo")) as (session, name):
        for rate, block in ((48000, 256), (44100, 128), (96000, 1024)):
            with Reader(name, rate=rate, block=block) as reader:
                reader.wait_until_engine_is_ready()
                wait_for(lambda rate=rate: session.status()["rate"] == rate and session.status()["reader_alive"])  # type: ignore[misc]
                played = reader.render(2.0, band_limited_noise(rate))
                assert np.abs(played[-rate // 2 :]).max() > 0.1
            wait_for(lambda: not session.status()["reader_alive"])


def test_without_a_reader_the_session_rests() -> None:
    with playing(Beep("beep-ramp")) as (session, name):
        with Reader(name) as reader:
            reader.wait_until_engine_is_ready()
            reader.render(1.0)
        wait_for(lambda: not session.status()["reader_alive"])
        steps = session.status()["steps"]
        wait_for(lambda: True)
        assert session.status()["steps"] == steps


def test_wrong_usage_is_said_in_words() -> None:
    for arguments in (
        ["--model", "nix"], ["--set", "temperature=9"], ["--set", "temperature"], ["--target-ms", "1"],
        ["--prompt", " :1"], ["--prompt", "disco:-1"], ["--nix"],
    ):  # fmt: skip
        command = [sys.executable, "-m", "jackdaw.engine", "--session", unique_name(), "--model", "beep", *arguments]
        process = subprocess.run(command, stderr=subprocess.PIPE, check=False)
        last = json.loads(process.stderr.splitlines()[-1])
        assert process.returncode == 2, arguments
        assert last["level"] == "error"
        assert len(last["text"]) > 10


def test_nothing_is_left_behind() -> None:
    with playing(Beep()) as (_, name), Reader(name) as reader:
        reader.wait_until_engine_is_ready()
    assert not segment_path(name).exists()
    assert not [entry for entry in os.listdir("/dev/shm") if name in entry]
