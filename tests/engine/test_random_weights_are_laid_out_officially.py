"""Random checkpoints have the names, shapes and sizes of the official ones, and are the same wherever they are made."""

from pathlib import Path

import numpy as np
import pytest
from mrt2_models import REDUCED
from safetensors.numpy import load_file

from jackdaw.engine.models.mrt2_config import BASE, SMALL, MRT2Config
from jackdaw.engine.weights import mrt2_shapes
from jackdaw.engine.weights.random_mrt2 import random_array, random_tree, write_random


@pytest.mark.parametrize(("config", "arrays", "parameters"), [(SMALL, 374, 282_194_376), (BASE, 618, 2_459_163_592)])
def test_a_checkpoint_has_the_official_size(config: MRT2Config, arrays: int, parameters: int) -> None:
    shapes = mrt2_shapes.checkpoint_shapes(config)
    assert len(shapes) == arrays
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == parameters


def test_the_codec_has_the_official_size() -> None:
    sizes = [
        sum(int(np.prod(shape)) for shape in shapes.values())
        for shapes in (mrt2_shapes.encoder_shapes(), mrt2_shapes.decoder_shapes(), mrt2_shapes.quantizer_shapes())
    ]
    assert sizes == [9_251_904, 35_684_546, 16_777_216]


def test_a_file_holds_the_tree_to_the_bit(tmp_path: Path) -> None:
    shapes = mrt2_shapes.depthformer_shapes(REDUCED) | mrt2_shapes.decoder_shapes(width=8)
    path = tmp_path / "checkpoint.safetensors"
    write_random(path, shapes, seed=5)
    stored, tree = load_file(path), random_tree(shapes, seed=5)
    assert {name: array.shape for name, array in stored.items()} == shapes
    for name, array in stored.items():
        place = tree
        for part in name.split("/")[1:]:
            place = place[part]
        np.testing.assert_array_equal(place, array)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_seed_means_the_same_everywhere() -> None:
    name = "params/depthformer/encoder/body/encoder_ln/bias"
    found = random_array(name, (3,), seed=1)
    np.testing.assert_allclose(found, [0.07499629, 0.04462265, -0.01574385], rtol=1e-6)
    assert not np.array_equal(found, random_array(name, (3,), seed=2))
    codec = [f"params/{file}decoder/output_layer/base_conv_last/conv/kernel" for file in ("", "soundstream/")]
    np.testing.assert_array_equal(*(random_array(name, (7, 7, 8, 2)) for name in codec))
