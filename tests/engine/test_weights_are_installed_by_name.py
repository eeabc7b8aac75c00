"""``jackdaw models download`` makes a model known when all its files are there, and says what is wrong if they are not.

The files are stand-ins: noise from a hub on the loopback, or zeros of the official names and shapes in a folder.
"""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import COMMIT, FakeHub, serving
from musiccoca_standins import write_standins
from players import wait_for
from weight_files import sparse

from jackdaw.cli import main
from jackdaw.engine.models.mrt2_config import SMALL
from jackdaw.engine.weights import installed, mrt2, mrt2_shapes
from jackdaw.engine.weights.fingerprint import fingerprint
from jackdaw.engine.weights.registry import load_model

NAME = "mrt2_small"
FILES = mrt2.files(NAME)
CONTENT = {name: np.random.default_rng(len(name)).bytes(5000 + 100 * len(name)) for name in FILES}
CHECKPOINT = FILES[0]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    spm = "resources/musiccoca/spm.model"
    with serving(FakeHub(dict(CONTENT) | {"checkpoints/mrt2_base.safetensors": b"base"}, plain={spm})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the official layout: zeros of the right names and shapes, which take no room."""
    folder = tmp_path_factory.mktemp("official")
    sparse(folder / CHECKPOINT, mrt2_shapes.checkpoint_shapes(SMALL))
    sparse(folder / "resources/spectrostream/encoder.safetensors", mrt2_shapes.encoder_shapes())
    write_standins(folder / "resources/musiccoca")
    return folder


@pytest.fixture
def copy(official: Path, tmp_path: Path) -> Path:
    """A copy with links to the large files."""
    folder = tmp_path / "official"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(official / name)
    return folder


def listed(capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert main(["models"]) == 0
    return next(line for line in capsys.readouterr().out.splitlines() if line.startswith(NAME))


def is_installed() -> bool:
    return installed.folder(NAME).exists()


def test_a_model_is_downloaded_and_known(fake: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"jackdaw models download {NAME}" in listed(capsys)
    assert main(["models", "download", NAME, "--yes"]) == 0
    out, err = capsys.readouterr()
    assert "CC-BY-4.0" in err
    assert f"play it: jackdaw jam --model {NAME}" in out
    assert "installed" in listed(capsys)
    for name in FILES:
        assert (installed.folder(NAME) / name).read_bytes() == CONTENT[name]
    about = json.loads((installed.folder(NAME) / "about.json").read_text())
    assert (about["commit"], about["licence"], about["source"]) == (
        COMMIT,
        "CC-BY-4.0",
        f"{fake.url}/google/magenta-realtime-2",
    )
    assert {path for path, _ in fake.downloads()} == {
        f"/google/magenta-realtime-2/resolve/{COMMIT}/{name}" for name in FILES
    }


def test_the_licence_is_shown_once_for_both_sizes(fake: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "download", NAME, "--yes"]) == 0
    assert "CC-BY-4.0" in capsys.readouterr().err
    fake.asked.clear()
    assert main(["models", "download", "mrt2_base", "--yes"]) == 0
    assert "CC-BY-4.0" not in capsys.readouterr().err
    assert [path.rpartition("/")[2] for path, _ in fake.downloads()] == ["mrt2_base.safetensors"]  # the rest is there


def test_nothing_happens_without_a_yes(fake: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jackdaw", "models", "download", NAME],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "say --yes" in done.stderr
    assert fake.downloads() == []
    assert not is_installed()


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1), ("\x04", 1)])
def test_the_answer_counts(fake: FakeHub, answer: str, code: int) -> None:
    keyboard, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "jackdaw", "models", "download", NAME],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        os.write(keyboard, answer.encode())
        out, err = child.communicate()
    os.close(keyboard)
    os.close(terminal)
    assert child.returncode == code, err
    assert ("play it" in out, "nothing was installed" in err) == (code == 0, code == 1)
    assert bool(fake.downloads()) == is_installed() == installed.is_accepted(mrt2.REPOSITORY) == (code == 0)


@pytest.mark.parametrize(("name", "said"), [("tiny", "tiny comes with jackdaw"), ("mrt3", "mrt3 is no model")])
def test_what_cannot_be_fetched_is_told(name: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "download", name]) == 2
    assert f"{said}; to be fetched there are: mrt2_small, mrt2_base" in capsys.readouterr().err


def test_a_damaged_download_installs_nothing(fake: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    fake.damaged = {FILES[-1]}
    assert main(["models", "download", NAME, "--yes"]) == 1
    assert f"{NAME} is not installed: {FILES[-1]} arrived damaged" in capsys.readouterr().err
    assert not is_installed()
    fake.damaged = set()
    fake.asked.clear()
    assert main(["models", "download", NAME, "--yes"]) == 0
    assert len(fake.downloads()) == 1  # the others are there


def test_ctrl_c_says_how_to_go_on(fake: FakeHub) -> None:
    fake.hold, fake.hold_at = threading.Event(), 100
    child = subprocess.Popen(
        [sys.executable, "-m", "jackdaw", "models", "download", NAME, "--yes"], stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: bool(fake.downloads()))
    child.send_signal(signal.SIGINT)
    _, said = child.communicate()
    assert child.returncode == 130
    assert f"stopped; `jackdaw models download {NAME}` goes on from here" in said
    assert "Traceback" not in said
    assert not is_installed()
    fake.hold.set()
    assert main(["models", "download", NAME, "--yes"]) == 0


def test_a_model_that_is_not_there_says_what_to_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"run `jackdaw models download {NAME}`"):
        load_model(NAME)
    assert main(["render", "--model", NAME, "--seconds", "1", str(tmp_path / "out.wav")]) == 1
    assert f"run `jackdaw models download {NAME}`" in capsys.readouterr().err
    assert not (tmp_path / "out.wav").exists()


def test_what_the_hub_keeps_is_checked_before_it_plays(fake: FakeHub) -> None:
    assert main(["models", "download", NAME, "--yes"]) == 0
    with pytest.raises(ValueError, match=rf"{NAME}\.safetensors.*is not a safetensors file"):
        load_model(NAME)


def test_a_folder_is_taken_as_it_is(official: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "download", NAME, "--from", str(official), "--yes"]) == 0
    assert re.search(r"installed +116\d\.\d MB", listed(capsys))
    for name in FILES:
        assert (installed.folder(NAME) / name).resolve() == (official / name).resolve()
        assert installed.checksum(NAME, installed.folder(NAME) / name) is not None


def test_a_folder_that_lacks_a_file_is_told(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / FILES[3]).unlink()
    assert main(["models", "download", NAME, "--from", str(copy), "--yes"]) == 1
    assert f"official has no {FILES[3]}" in capsys.readouterr().err
    assert not is_installed()
    assert main(["models", "download", NAME, "--from", str(copy / "none"), "--yes"]) == 2


def test_a_folder_with_something_else_is_told(official: Path, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "download", "mrt2_base", "--from", str(official), "--yes"]) == 1
    assert "has no checkpoints/mrt2_base.safetensors" in capsys.readouterr().err
    base = copy / "checkpoints/mrt2_base.safetensors"
    base.symlink_to(official / CHECKPOINT)
    assert main(["models", "download", "mrt2_base", "--from", str(copy), "--yes"]) == 1
    assert "is not a checkpoint of mrt2_base: missing: params/depthformer/" in capsys.readouterr().err
    graph = copy / "resources/musiccoca/mapper.tflite"
    graph.unlink()
    graph.write_text("<html>")
    assert main(["models", "download", NAME, "--from", str(copy), "--yes"]) == 1
    assert "mapper.tflite is not a TFLite file" in capsys.readouterr().err
    assert not is_installed()


def test_weights_are_told_apart_without_reading_them(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["models", "download", NAME, "--yes"]) == 0
    first = fingerprint(NAME)
    blob = (installed.folder(NAME) / CHECKPOINT).resolve()
    os.utime(blob)  # touched: the checksum is made anew
    assert fingerprint(NAME) == first
    blob.write_bytes(bytes(CONTENT[CHECKPOINT][:-1]) + b"!")
    assert fingerprint(NAME) != first
    blob.write_bytes(CONTENT[CHECKPOINT])
    assert main(["models", "download", NAME, "--yes"]) == 0
    monkeypatch.setattr(installed, "sha256", lambda *_: pytest.fail("read gigabytes"))
    assert fingerprint(NAME) == first


def test_files_that_are_gone_are_missed(fake: FakeHub, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert main(["models", "download", NAME, "--yes"]) == 0
    shutil.rmtree(home / "huggingface")
    assert f"jackdaw models download {NAME}" in listed(capsys)
    assert main(["models", "download", NAME, "--yes"]) == 0
    assert "installed" in listed(capsys)


def test_a_damaged_record_is_told(fake: FakeHub) -> None:
    assert main(["models", "download", NAME, "--yes"]) == 0
    (installed.folder(NAME) / "about.json").write_text("{}")
    with pytest.raises(ValueError, match=r"about\.json is damaged"):
        fingerprint(NAME)


def test_a_checkpoint_without_its_companions_says_what_to_fetch(
    copy: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / FILES[2]).unlink()
    checkpoint, sound = copy / CHECKPOINT, home / "out.wav"
    with pytest.raises(FileNotFoundError, match="run `jackdaw models download"):
        fingerprint(f"{NAME}@{checkpoint}")
    capsys.readouterr()
    assert main(["render", str(sound), "--model", NAME, "--checkpoint", str(checkpoint), "--seconds", "1"]) == 1
    said = capsys.readouterr().err
    assert f"there is no {copy / FILES[2]}; run `jackdaw models download {NAME}`" in " ".join(said.split())
    assert not sound.exists()
