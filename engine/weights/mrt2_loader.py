"""Reads checkpoints of Magenta RealTime 2 by their official names: every array that belongs there, and no other.

A checkpoint holds the language model, the codec's decoder and its codebooks; the codec's encoder has a file of its own.
The trees returned begin below ``params/``. Sizes follow from the shapes, so that any model of the family can be read;
only what no shape tells, the window and the levels of the style, is taken from the published model of those sizes or
from the file's metadata (``window``, ``style_levels``).
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from jackdaw.engine.models.mrt2_config import RESERVED, SIZES, MRT2Config, StackConfig
from jackdaw.engine.weights import mrt2_shapes
from jackdaw.engine.weights.mapped import Mapped
from jackdaw.engine.weights.mrt2_shapes import Shapes

__all__ = ["check_checkpoint", "check_encoder", "read_checkpoint", "read_encoder"]

_LM = "params/depthformer"
_STYLE = f"{_LM}/encoder/body/layers_1/branched_mulan_embedder/mulan_embedder"
_TABLE = f"{_LM}/decoder/decoder_embedding/embedding/embedding"
_STACKS = {name: f"{_LM}/decoder/{name}_body/transformer/x_layers_" for name in ("temporal", "depth")}
_BOOKS = "params/soundstream/quantizer/embedding"
_LAST = "params/soundstream/decoder/output_layer/base_conv_last/conv/kernel"
_FIRST = "params/encoder/base_conv_first/conv/kernel"
_EMBEDDING = "params/encoder/output_convs/conv1x1_last/conv/kernel"
_NAMED = 4
"""So many arrays are named in an error."""


def _sizes(file: Mapped, name: str, axes: int) -> tuple[int, ...]:
    """Return the shape of an array that others follow from."""
    if name not in file.arrays:
        raise ValueError(f"{file.path}: array {name} is missing: is this a checkpoint of Magenta RealTime 2?")
    shape: tuple[int, ...] = file.arrays[name].shape
    if len(shape) != axes or 0 in shape:
        raise ValueError(f"{file.path}: array {name} has shape {shape}; {axes} axes belong there")
    return shape


def _stack(file: Mapped, kind: str) -> StackConfig:
    path = _STACKS[kind]
    layers = {name[len(path) :].split("/")[0] for name in file.arrays if name.startswith(path)}
    width, heads, head_size = _sizes(file, f"{path}0/self_attention/attention/query_projection/kernel", 3)
    hidden = _sizes(file, f"{path}0/ffn/ffn_layer1/kernel", 2)[1]
    return StackConfig(layers=len(layers), width=width, hidden=hidden, heads=heads, head_size=head_size)


def _told(file: Mapped, key: str) -> int | None:
    text = file.metadata.get(key)
    if text is not None and not (text.isdecimal() and int(text) > 0):
        raise ValueError(f"{file.path}: its metadata say {key} = {text!r}; a whole number above 0 belongs there")
    return None if text is None else int(text)


def _inferred(file: Mapped) -> MRT2Config:
    vocabulary, codebook = _sizes(file, _TABLE, 2)[0], _sizes(file, _BOOKS, 3)[1]
    rows, style_width = _sizes(file, f"{_STYLE}/mulan_dequantizer/embedding", 2)
    style_levels = _told(file, "style_levels") or 12
    config = MRT2Config(
        name=file.path.stem,
        temporal=_stack(file, "temporal"),
        depth=_stack(file, "depth"),
        condition_width=_sizes(file, f"{_STYLE}/depth_input_adapter/kernel", 2)[1],
        window=_told(file, "window") or 0,
        levels=(vocabulary - RESERVED) // codebook,
        codebook=codebook,
        style_levels=style_levels,
        style_codebook=rows // style_levels - RESERVED - 1,
        style_width=style_width,
    )
    for known in SIZES.values():
        if replace(config, name=known.name, window=known.window) == known:
            return known if config.window in {0, known.window} else replace(known, window=config.window)
    if not config.window:
        raise ValueError(
            f"{file.path}: its sizes are those of no published model ({', '.join(SIZES)}), and its metadata don't say "
            f"its `window`"
        )
    return config


def _listed(names: Iterable[str]) -> str:
    found = sorted(names)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def _compare(file: Mapped, expected: Shapes, what: str) -> None:
    """Raise ValueError unless the file holds just those arrays."""
    found = file.arrays
    wrong = [
        f"{name} has shape {found[name].shape}, {shape} belongs there"
        for name, shape in expected.items()
        if name in found and found[name].shape != shape
    ]
    kinds = [f"{name} holds {entry.kind}" for name, entry in found.items() if entry.kind not in {"F32", "BF16"}]
    problems = []
    if missing := expected.keys() - found.keys():
        problems.append(f"missing: {_listed(missing)}")
    if extra := found.keys() - expected.keys():
        problems.append(f"not part of it: {_listed(extra)}")
    if wrong:
        problems.append(_listed(wrong))
    if kinds:
        problems.append(f"{_listed(kinds)}; F32 or BF16 belongs there")
    if problems:
        raise ValueError(f"{file.path} is not {what}: {'; '.join(problems)}")


def _checked(path: Path, config: MRT2Config | None) -> tuple[Mapped, MRT2Config]:
    file = Mapped(path)
    sizes = config or _inferred(file)
    levels, codebook, features = _sizes(file, _BOOKS, 3)
    if levels < sizes.levels:
        raise ValueError(f"{path}: {_BOOKS} has {levels} levels; the model's codes have {sizes.levels}")
    expected = mrt2_shapes.depthformer_shapes(sizes)
    if config is None:
        expected |= mrt2_shapes.decoder_shapes(_sizes(file, _LAST, 4)[2], features)
        expected |= mrt2_shapes.quantizer_shapes(levels, codebook, features)
    else:
        expected = mrt2_shapes.checkpoint_shapes(config)
    _compare(file, expected, f"a checkpoint of {sizes.name}")
    return file, sizes


def _checked_encoder(path: Path, *, official: bool) -> Mapped:
    file = Mapped(path)
    widths = () if official else (_sizes(file, _FIRST, 4)[3], _sizes(file, _EMBEDDING, 4)[3])
    _compare(file, mrt2_shapes.encoder_shapes(*widths), "the encoder of SpectroStream")
    return file


def check_checkpoint(path: Path, config: MRT2Config | None = None) -> MRT2Config:
    """Check names, shapes and kinds of the arrays of a checkpoint, without reading them; return its sizes.

    Parameters
    ----------
    path
        The file.
    config
        The sizes that it must have; None takes them from the file.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is damaged or something else; the text names the arrays.
    """
    return _checked(path, config)[1]


def check_encoder(path: Path, *, official: bool = True) -> None:
    """Check the file of the codec's encoder, as :func:`check_checkpoint` does; `official` is of the published size."""
    _checked_encoder(path, official=official)


def read_checkpoint(path: Path, config: MRT2Config | None = None) -> tuple[dict[str, Any], MRT2Config]:
    """Return the tree of a checkpoint below ``params/``, float32, and its sizes.

    Parameters
    ----------
    path
        A safetensors file of the official names, float32 or bfloat16. Of float32 the arrays are read-only views of it.
    config
        The sizes that it must have; None takes them from the file.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is damaged or something else; the text names the arrays.
    """
    file, sizes = _checked(path, config)
    return _tree(file), sizes


def read_encoder(path: Path, *, official: bool = True) -> dict[str, Any]:
    """Return the tree of the codec's encoder below ``params/``: ``encoder``. See :func:`read_checkpoint`."""
    return _tree(_checked_encoder(path, official=official))


def _tree(file: Mapped) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name in file.arrays:
        *folders, last = name.removeprefix("params/").split("/")
        place: Any = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = file.read(name)
    return tree
