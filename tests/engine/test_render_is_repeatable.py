"""A rendering: equal arguments, equal bytes; complete or not there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from players import wait_for

from jackdaw.audio import Waveform
from jackdaw.engine.models.beep import Beep
from jackdaw.engine.models.contract import Model
from jackdaw.engine.render import render, render_file


@pytest.mark.parametrize("ending", ["wav", "flac"])
def test_equal_arguments_give_equal_bytes(tmp_path: Path, ending: str) -> None:
    files = []
    for number in range(2):
        path = tmp_path / f"{number}.{ending}"
        result = render_file(path, model="beep", prompts=[("disco", 1.0)], seconds=3.3, seed=4)
        assert result.seconds == pytest.approx(3.3)
        assert result.speed > 0
        files.append(path.read_bytes())
        time.sleep(1.1 * (number == 0))  # files must not hold the time of day
    assert files[0] == files[1]
    other = tmp_path / f"other.{ending}"
    render_file(other, model="beep", prompts=[("disco", 1.0)], seconds=3.3, seed=5)
    assert other.read_bytes() != files[0]


def test_length_is_what_was_asked_for(tmp_path: Path) -> None:
    render_file(tmp_path / "a.wav", model="beep-ramp", seconds=1.2345)
    assert len(Waveform.from_file(tmp_path / "a.wav")) == round(1.2345 * 48000)


def test_input_is_heard_one_step_later(tmp_path: Path) -> None:
    noise = (0.1 * np.random.default_rng(0).normal(size=(48000, 2))).astype(np.float32)
    Waveform(noise, 48000).write(tmp_path / "in.wav")
    render_file(tmp_path / "out.wav", model="beep-echo", seconds=2.0, heard=tmp_path / "in.wav")
    out = Waveform.from_file(tmp_path / "out.wav").samples
    assert np.abs(out[1920 : 1920 + 48000] - noise).max() < 2e-6
    assert not np.any(out[48000 + 1920 :])


def test_hearing_is_steered_offline_too() -> None:
    noise = (0.1 * np.random.default_rng(0).normal(size=(96000, 2))).astype(np.float32)

    def rendered(model: str, **knobs: float) -> bytes:
        return np.concatenate(list(render(Beep(model), samples=96000, parameters=knobs, heard=noise))).tobytes()

    later = np.frombuffer(rendered("beep-echo", gap=100.0), np.float32).reshape(-1, 2)
    assert np.array_equal(later[1920 + 4800 + 480 :], noise[480 : -1920 - 4800])
    plain = rendered("beep")
    for knobs in ({"live_style": 0.5}, {"duck": -12.0}, {"freeze": 1.0}):
        assert rendered("beep", **knobs) == rendered("beep", **knobs) != plain


def test_music_begins_at_the_first_sample(model: Model) -> None:
    """The model's look-ahead is cut off: rendering n samples gives what the steps made from there on."""
    samples, spec = 10000, model.spec
    rendered = np.concatenate(list(render(model, samples=samples, seed=2)))
    state, pieces = model.init(2), []
    from jackdaw.engine.models.contract import Controls

    for _ in range(-(-(samples + spec.look_ahead) // spec.step_samples)):
        state, audio = model.step(state, Controls(), None)
        pieces.append(audio)
    assert rendered.tobytes() == np.concatenate(pieces)[spec.look_ahead : spec.look_ahead + samples].tobytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "nix"},
        {"seconds": 0.0},
        {"seconds": -1.0},
        {"path": "out.mp3"},
        {"parameters": {"temperature": 9.0}},
        {"prompts": [("", 1.0)]},
        {"audio_prompts": [("nowhere.wav", 1.0)]},
        {"heard": "nowhere.wav"},
        {"path": "no/such/folder/out.wav"},
    ],
)
def test_wrong_arguments_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments: dict[str, object] = {"path": "out.wav", "model": "beep", "seconds": 0.5, **changes}
    path = arguments.pop("path")
    with pytest.raises((ValueError, OSError), match=r".{10}"):
        render_file(path, **arguments)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_control_c_leaves_nothing_behind(tmp_path: Path) -> None:
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in background jobs
        "from jackdaw.engine.render import render_file\n"
        f"render_file({str(tmp_path / 'long.wav')!r}, model='beep', seconds=80000)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: any(path.stat().st_size > 100000 for path in tmp_path.iterdir()))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0
    finally:
        process.kill()
    assert os.listdir(tmp_path) == []
