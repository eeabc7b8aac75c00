"""Makes `tiny` from its weight files; the networks' shapes stand in the files themselves, as ``config``."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from jackdaw.engine.runtime import cpu

__all__ = ["FILES", "load_tiny"]

FILES = (
    "tiny_codec.safetensors",
    "tiny_lm.safetensors",
    "tiny_style.safetensors",
    "tiny_style.vocab.txt",
    "tiny_usual.json",
)

_Config = TypeVar("_Config")


def _config(kind: type[_Config], about: Mapping[str, Any], path: Path) -> _Config:
    given = about.get("config", {})
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(given, dict) or not set(given) <= known:
        raise ValueError(f"weight file {path} is of another version of jackdaw; install jackdaw again")
    return kind(**given)


def load_tiny(folder: Path) -> Any:
    """Read the files in `folder` and make a :class:`~jackdaw.engine.models.tiny.Tiny`.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged or of another version.
    """
    cpu.configure()
    from jackdaw.engine.models.tiny import Tiny, Usual
    from jackdaw.engine.models.tiny_codec import CodecConfig
    from jackdaw.engine.models.tiny_lm import LMConfig
    from jackdaw.engine.weights.tensors import read_tree

    codec_file, lm_file, style_file, vocabulary, usual = (folder / name for name in FILES)
    rows = json.loads(usual.read_text(encoding="utf-8")).items()
    codec, about_codec = read_tree(codec_file, widen=False)
    lm, about_lm = read_tree(lm_file, widen=False)
    style, _ = read_tree(style_file)
    return Tiny(
        {"codec": codec, "lm": lm},
        _config(CodecConfig, about_codec, codec_file),
        _config(LMConfig, about_lm, lm_file),
        style,
        vocabulary.read_text(encoding="utf-8").splitlines(),
        {name: Usual(float(bpm), int(beats), *more) for name, (bpm, beats, *more) in rows},
    )
