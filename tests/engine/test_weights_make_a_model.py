"""Files of the official layout make a model that plays, by whichever runtime is there."""

import builtins
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mrt2_models import REDUCED
from musiccoca_standins import sound, write_standins

from jackdaw.cli import main
from jackdaw.engine.models.contract import Controls, Model
from jackdaw.engine.weights import mrt2, mrt2_shapes, registry
from jackdaw.engine.weights.fingerprint import fingerprint
from jackdaw.engine.weights.random_mrt2 import write_random

NAME = REDUCED.name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model in random weights, with stand-ins for its style networks."""
    path = tmp_path_factory.mktemp("weights")
    for name in mrt2.files(NAME):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
    shapes = mrt2_shapes.depthformer_shapes(REDUCED) | mrt2_shapes.decoder_shapes(8)
    shapes |= mrt2_shapes.quantizer_shapes(8, REDUCED.codebook)
    told = {"window": str(REDUCED.window), "style_levels": str(REDUCED.style_levels)}
    write_random(path / mrt2.files(NAME)[0], shapes, metadata=told)
    write_random(path / mrt2.files(NAME)[1], mrt2_shapes.encoder_shapes(4))
    write_standins(path / "resources/musiccoca")
    return path


def played(model: Model, controls: Controls) -> np.ndarray:
    state, pieces = model.init(3), []
    for _ in range(6):
        state, audio = model.step(state, controls, None)
        pieces.append(audio)
    return np.concatenate(pieces)


@pytest.mark.parametrize("player", ["OpenVinoPlayer", "JaxPlayer"])
def test_it_plays_styles_from_words_and_sound(folder: Path, monkeypatch: pytest.MonkeyPatch, player: str) -> None:
    if player == "JaxPlayer":
        monkeypatch.setattr(mrt2, "find_spec", lambda _: None)
    model = mrt2.load_mrt2(NAME, folder)
    assert type(model._player).__name__ == player
    words, heard = model.embed("disco"), model.embed(sound())
    free = played(model, Controls())
    assert np.all(np.isfinite(free))
    assert np.any(free)
    for style in (words, heard):
        assert not np.array_equal(played(model, Controls(style=style, guidance=3.0)), free)
    assert np.array_equal(played(model, Controls()), free)


@pytest.mark.parametrize("package", ["ai_edge_litert", "sentencepiece"])
def test_a_package_that_is_not_installed_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for module in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    given = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return given(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=rf"need the package {package}: pip install 'jackdaw-live\[mrt2\]'"):
        mrt2.load_mrt2(NAME, folder)


def test_a_checkpoint_of_ones_own_takes_the_place_of_the_published_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the same name, with the files round it; its digest is another."""
    monkeypatch.setitem(registry.MODELS, NAME, replace(registry.MODELS["mrt2_small"], name=NAME))
    mine = tmp_path / "checkpoints" / "mine.safetensors"
    mine.parent.mkdir()
    shutil.copy(folder / mrt2.files(NAME)[0], mine)
    shutil.copytree(folder / "resources", tmp_path / "resources")
    name = f"{NAME}@{mine}"
    assert np.any(played(registry.load_model(name), Controls()))
    before = fingerprint(name)
    with mine.open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\x00\x00\x80\x3f")
    assert fingerprint(name) != before


def test_a_checkpoint_that_is_not_there_or_is_for_no_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none = tmp_path / "none.safetensors"
    assert main(["render", str(tmp_path / "out.wav"), "--model", "mrt2_small", "--checkpoint", str(none)]) == 2
    assert str(none) in capsys.readouterr().err
    none.write_bytes(b"")
    assert main(["render", str(tmp_path / "out.wav"), "--checkpoint", str(none)]) == 2
    assert "tiny takes no checkpoint" in capsys.readouterr().err
    assert main(["render", str(tmp_path / "out.wav"), "--model", "mrt2_small", "--checkpoint", str(none)]) == 1
    assert "resources/spectrostream" in capsys.readouterr().err
