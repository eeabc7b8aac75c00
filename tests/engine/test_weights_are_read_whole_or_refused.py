"""A checkpoint of Magenta RealTime 2 is read whole, by official names, or refused with the name of what is wrong."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mrt2_models import REDUCED
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from weight_files import sparse

from jackdaw.engine.models.mrt2_config import SIZES, SMALL
from jackdaw.engine.weights import mrt2_shapes
from jackdaw.engine.weights.mapped import Mapped
from jackdaw.engine.weights.mrt2_loader import check_checkpoint, check_encoder, read_checkpoint, read_encoder
from jackdaw.engine.weights.random_mrt2 import write_random

TOLD = {"window": str(REDUCED.window), "style_levels": str(REDUCED.style_levels)}
BIAS = "params/depthformer/encoder/body/encoder_ln/bias"
Arrays = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "reduced.safetensors"
    shapes = mrt2_shapes.depthformer_shapes(REDUCED) | mrt2_shapes.decoder_shapes(8)
    write_random(path, shapes | mrt2_shapes.quantizer_shapes(8, REDUCED.codebook), seed=1, metadata=TOLD)
    return path


def changed(good: Path, folder: Path, change: Callable[[Arrays], object]) -> Path:
    arrays = load_file(good)
    change(arrays)
    path = folder / "reduced.safetensors"
    save_file(arrays, path, metadata=TOLD)
    return path


def flat(tree: dict[str, Any], path: str = "params") -> Arrays:
    found: Arrays = {}
    for name, value in tree.items():
        found |= flat(value, f"{path}/{name}") if isinstance(value, dict) else {f"{path}/{name}": value}
    return found


def test_every_array_is_read_to_the_bit_and_sizes_follow(good: Path) -> None:
    tree, config = read_checkpoint(good)
    stored, read = load_file(good), flat(tree)
    assert config == REDUCED
    assert read.keys() == stored.keys()
    for name, array in stored.items():
        assert read[name].dtype == np.float32
        np.testing.assert_array_equal(read[name], array)


def test_arrays_are_views_of_the_file(good: Path) -> None:
    array = Mapped(good).read(BIAS)
    assert not array.flags.owndata
    assert not array.flags.writeable


def test_bfloat16_is_read_as_its_value(good: Path, tmp_path: Path) -> None:
    narrowed = {name: array.astype(ml_dtypes.bfloat16) for name, array in load_file(good).items()}
    path = tmp_path / "reduced.safetensors"
    save_file(narrowed, path, metadata=TOLD)
    tree, config = read_checkpoint(path)
    assert config == REDUCED
    for name, array in flat(tree).items():
        np.testing.assert_array_equal(array, narrowed[name].astype(np.float32))


def test_the_encoder_is_read(tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    write_random(path, mrt2_shapes.encoder_shapes(4), seed=1)
    assert flat(read_encoder(path, official=False)).keys() == mrt2_shapes.encoder_shapes(4).keys()
    with pytest.raises(ValueError, match=r"not the encoder of SpectroStream: params/encoder/.* has shape"):
        check_encoder(path)


@pytest.mark.parametrize("name", sorted(SIZES))
def test_a_published_model_is_known_by_its_shapes(name: str, tmp_path: Path) -> None:
    path = sparse(tmp_path / "other name.safetensors", mrt2_shapes.checkpoint_shapes(SIZES[name]))
    assert check_checkpoint(path) == SIZES[name]
    other = next(config for config in SIZES.values() if config.name != name)
    with pytest.raises(ValueError, match=f"not a checkpoint of {other.name}"):
        check_checkpoint(path, other)


def test_a_missing_array_is_named(good: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"missing: {BIAS}$"):
        read_checkpoint(changed(good, tmp_path, lambda arrays: arrays.pop(BIAS)))


def test_an_array_that_sizes_follow_from_is_named_too(good: Path, tmp_path: Path) -> None:
    name = "params/soundstream/quantizer/embedding"
    with pytest.raises(ValueError, match=f"array {name} is missing: is this a checkpoint of Magenta"):
        read_checkpoint(changed(good, tmp_path, lambda arrays: arrays.pop(name)))


def test_an_array_that_does_not_belong_there_is_named(good: Path, tmp_path: Path) -> None:
    path = changed(good, tmp_path, lambda arrays: arrays.update({"params/other": np.zeros(3, np.float32)}))
    with pytest.raises(ValueError, match=r"not part of it: params/other$"):
        read_checkpoint(path)


def test_a_renamed_array_is_named_twice(good: Path, tmp_path: Path) -> None:
    path = changed(good, tmp_path, lambda arrays: arrays.update({BIAS + "es": arrays.pop(BIAS)}))
    with pytest.raises(ValueError, match=f"missing: {BIAS}; not part of it: {BIAS}es$"):
        read_checkpoint(path)


def test_a_wrong_shape_is_told(good: Path, tmp_path: Path) -> None:
    path = changed(good, tmp_path, lambda arrays: arrays.update({BIAS: np.zeros(25, np.float32)}))
    with pytest.raises(ValueError, match=rf"{BIAS} has shape \(25,\), \(24,\) belongs there"):
        read_checkpoint(path)


@pytest.mark.parametrize(("kind", "told"), [(np.float16, "F16"), (np.int32, "I32"), (np.float64, "F64")])
def test_a_wrong_kind_is_told(good: Path, tmp_path: Path, kind: Any, told: str) -> None:
    path = changed(good, tmp_path, lambda arrays: arrays.update({BIAS: arrays[BIAS].astype(kind)}))
    with pytest.raises(ValueError, match=f"{BIAS} holds {told}; F32 or BF16 belongs there"):
        read_checkpoint(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_found(good: Path, tmp_path: Path, value: float) -> None:
    path = changed(good, tmp_path, lambda arrays: arrays[BIAS].__setitem__(3, value))
    with pytest.raises(ValueError, match=f"{BIAS} has values that are not finite"):
        read_checkpoint(path)


@pytest.mark.parametrize("kept", [0, 5, 8, 1000, -1, -100_000])
def test_a_truncated_file_is_refused(good: Path, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "reduced.safetensors"
    path.write_bytes(good.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"truncated|not a safetensors file") as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"[1]",
        b'{"a": 1}',
        b'{"__metadata__": 3}',
        b"[" * 100_000,
        b'{"a": {"dtype": "F32", "shape": [Infinity], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [4, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "reduced.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(ValueError, match="damaged"):
        read_checkpoint(path)


@given(st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_to_a_file_it_is_read_or_refused(good: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(good.read_bytes()[:20_000])  # the table, and some values
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "reduced.safetensors"
    with good.open("rb") as whole, path.open("wb") as changed:
        changed.write(content)
        whole.seek(len(content))
        changed.write(whole.read())
    said = ""
    try:
        assert read_checkpoint(path)[1] == REDUCED
    except ValueError as error:
        said = str(error)
    assert not said or str(path) in said


def test_a_web_page_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "reduced.safetensors"
    path.write_text("<!doctype html><html><body>Sign in to go on</body></html>")
    with pytest.raises(ValueError, match="not a safetensors file"):
        read_checkpoint(path)


def test_an_unknown_size_must_say_its_window(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "reduced.safetensors"
    save_file(load_file(good), path, metadata={"style_levels": "4"})
    with pytest.raises(ValueError, match="don't say its `window`"):
        read_checkpoint(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors is not there"):
        read_checkpoint(tmp_path / "none.safetensors", SMALL)
