"""Presets: how a session plays, in a file that a person can read: model, seed, prompts, parameters, and the state.

``$XDG_CONFIG_HOME/jackdaw/presets/NAME.toml``, and beside it ``NAME.safetensors`` if the model's state was kept::

    model = "tiny"
    model_hash = "..."
    seed = 7
    state = true
    program = 5                 # of MIDI, 1..128, that loads it; may be left out

    [parameters]
    temperature = 0.9

    [[prompts]]
    text = "bossa nova"
    weight = 1.0
    embedding = "..."        # float32, little endian, base64; what it was embedded as by the model of that hash

Files are written whole or not at all, the state first. Reading checks everything before anything is used.
"""

import base64
import binascii
import contextlib
import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jackdaw.engine.parameters import MAX_PROMPTS, check_value
from jackdaw.engine.prompts import Prompt

__all__ = ["Preset", "folder", "names", "of_program", "path_of", "read", "remove", "write"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_KEYS = {"model", "model_hash", "seed", "state", "program", "parameters", "prompts"}
_PROMPT_KEYS = {"text", "audio", "name", "weight", "embedding"}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """How a session plays.

    Parameters
    ----------
    model, model_hash
        Name of the model, and the hash of its weights.
    seed
        Of the model.
    parameters
        Values of knobs, by name.
    prompts
        At most 6, texts or audio files, embedded or not.
    state
        The model's state as :func:`~jackdaw.engine.state.save_state` gives it, or None.
    program
        MIDI program 1..128 that loads it, or None.
    """

    model: str
    model_hash: str
    seed: int = 0
    parameters: Mapping[str, float]
    prompts: Sequence[Prompt] = ()
    state: bytes | None = None
    program: int | None = None


def folder() -> Path:
    """Return where presets are kept."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "jackdaw" / "presets"


def names() -> list[str]:
    """Return the names of all presets, sorted."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def of_program(number: int) -> Path | None:
    """Return the preset that a MIDI program 1..128 loads; None if none does.

    Raises
    ------
    ValueError
        If several do.
    """
    found = []
    for name in names():
        with contextlib.suppress(OSError, ValueError):  # a bad one says so when it is asked for by name
            if read(folder() / f"{name}.toml").program == number:
                found.append(name)
    if len(found) > 1:
        raise ValueError(f"program {number} is that of several presets, {', '.join(found)}: change all but one")
    return folder() / f"{found[0]}.toml" if found else None


def path_of(name: str) -> Path:
    """Return where the preset of a name is kept, or its own path if the name is one that ends in .toml.

    Raises
    ------
    ValueError
        If it can't be a name.
    """
    if name.endswith(".toml") and os.sep in name:
        return Path(name)
    if not _NAME.fullmatch(name):
        raise ValueError(f"preset {name!r}: use 1 to 64 letters, digits, spaces, dots, - and _, or the path of a .toml")
    return folder() / f"{name}.toml"


def write(path: Path, preset: Preset) -> None:
    """Write a preset, in the place of one of that name.

    Raises
    ------
    ValueError
        If a prompt is neither a text nor a file.
    OSError
        If it cannot be written; what was there before is there still.
    """
    lines = [
        "# How a session of Jackdaw plays; `jackdaw preset` reads and writes this.\n",
        f"model = {_string(preset.model)}",
        f"model_hash = {_string(preset.model_hash)}",
        f"seed = {preset.seed}",
        f"state = {'true' if preset.state is not None else 'false'}",
        *([] if preset.program is None else [f"program = {preset.program}"]),
        "\n[parameters]",
        *(f"{name} = {float(value)!r}" for name, value in preset.parameters.items()),
    ]
    for prompt in preset.prompts:
        kind, source = ("text", prompt.text) if prompt.text is not None else ("audio", prompt.audio)
        if source is None:
            raise ValueError(f"prompt {prompt.name!r} was given as samples: give it as a file, so that it can be kept")
        lines += ["\n[[prompts]]", f"{kind} = {_string(source)}"]
        lines += [f"name = {_string(prompt.name)}", f"weight = {float(prompt.weight)!r}"]
        if prompt.embedding is not None:
            packed = base64.b64encode(np.ascontiguousarray(prompt.embedding, "<f4").tobytes()).decode()
            lines.append(f"embedding = {_string(packed)}")
    content = ("\n".join(lines) + "\n").encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    if preset.state is not None:
        _place(path.with_suffix(".safetensors"), preset.state)
    _place(path, content)
    if preset.state is None:
        path.with_suffix(".safetensors").unlink(missing_ok=True)


def _string(text: str) -> str:
    """Return a text as TOML writes it."""
    # JSON's strings are TOML's but for what lies beyond 16 bits, which TOML has as it is, and DEL, which it has not
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _place(path: Path, content: bytes) -> None:
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


def remove(path: Path) -> None:
    """Remove a preset and its state.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    path.unlink()
    path.with_suffix(".safetensors").unlink(missing_ok=True)


def read(path: Path) -> Preset:
    """Read a preset.

    Raises
    ------
    ValueError
        If the file is no preset; the text says what is wrong, and where.
    OSError
        If it, or its state, cannot be read.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(names()) or "none yet; `jackdaw preset save NAME` makes one"
        raise FileNotFoundError(f"no preset {str(path)!r}; there are: {known}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from error
    try:
        return _checked(content, path)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}; mend or remove that line") from error


def _checked(content: Mapping[str, Any], path: Path) -> Preset:
    if odd := set(content) - _KEYS:
        raise ValueError(f"unknown {', '.join(sorted(odd))}; there are {', '.join(sorted(_KEYS))}")
    model, model_hash = _told(content, "model", str), _told(content, "model_hash", str)
    seed = _told(content, "seed", int, 0)
    if seed < 0:
        raise ValueError(f"seed is {seed}; give a whole number from 0")
    parameters = {str(n): check_value(n, _number(n, v)) for n, v in _told(content, "parameters", dict, {}).items()}
    entries = _told(content, "prompts", list, [])
    if len(entries) > MAX_PROMPTS:
        raise ValueError(f"{len(entries)} prompts; give at most {MAX_PROMPTS}")
    prompts = [_prompt(entry, model_hash) for entry in entries]
    state = path.with_suffix(".safetensors").read_bytes() if _told(content, "state", bool, False) else None
    program = _told(content, "program", int, 0) or None
    if program is not None and not 1 <= program <= 128:
        raise ValueError(f"program is {program}; give 1 to 128")
    return Preset(
        model=model,
        model_hash=model_hash,
        seed=seed,
        parameters=parameters,
        prompts=prompts,
        state=state,
        program=program,
    )


def _told(table: Mapping[str, Any], key: str, kind: type, default: Any = None) -> Any:
    value = table.get(key, default)
    if value is None:
        raise ValueError(f"{key} is missing")
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{key} is {value!r}, which is no {kind.__name__}")
    return value


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} is {value!r}, which is no number")
    return float(value)


def _prompt(entry: object, model_hash: str) -> Prompt:
    if not isinstance(entry, dict) or set(entry) - _PROMPT_KEYS:
        raise ValueError(f"a prompt has {', '.join(sorted(_PROMPT_KEYS))}, and this one is {entry!r}")
    embedding = None
    if "embedding" in entry:
        try:
            embedding = np.frombuffer(base64.b64decode(entry["embedding"], validate=True), "<f4").astype(np.float32)
        except (binascii.Error, TypeError) as error:
            raise ValueError(f"the embedding of a prompt is damaged: {error}") from error
    for key in ("text", "audio", "name"):
        if key in entry and not isinstance(entry[key], str):
            raise ValueError(f"{key} of a prompt is {entry[key]!r}; give text in quotes")
    return Prompt(
        text=entry.get("text"),
        audio=entry.get("audio"),
        name=entry.get("name", ""),
        weight=_number("weight", entry.get("weight", 1.0)),
        embedding=embedding,
        model_hash=None if embedding is None else model_hash,
    )
