"""Files of the official layout make a model that plays, by whichever runtime is there."""

import builtins
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mrt2_models import REDUCED
from musiccoca_standins import sound, write_standins

from jackdaw.engine.models.contract import Controls, Model
from jackdaw.engine.weights import mrt2, mrt2_shapes
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
