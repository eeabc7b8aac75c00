"""Models whose weights the user has fetched: which files belong to them, and what is known about those.

A model is a folder of links in ``$XDG_DATA_HOME/jackdaw/models/NAME``, in the official layout, to wherever the files
lie: in the hub's cache or in a folder of the user's. Beside them ``about.json`` keeps where they came from and their
checksums, so that nobody reads gigabytes again to tell one set of weights from another. The folder appears when it is
complete; deleting it forgets the model.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["accept_licence", "checksum", "folder", "install", "is_accepted", "sha256"]

_ABOUT, _LICENCES = "about.json", "licences.json"
_BLOCK = 1 << 20


def _home() -> Path:
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data).expanduser() / "jackdaw"


def folder(model: str) -> Path:
    """Return the folder of a model, which need not be there."""
    return _home() / "models" / model


def sha256(path: Path, progress: Callable[[int], object] = lambda _: None) -> str:
    """Return the SHA-256 of a file; `progress` is told how many bytes are read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            progress(file.tell())
    return digest.hexdigest()


def install(model: str, files: Mapping[str, Path], checksums: Mapping[str, str], about: Mapping[str, str]) -> Path:
    """Make files known as the weights of a model, in the place of what was; return its folder.

    Parameters
    ----------
    model
        Its name.
    files
        Where they lie, by official name.
    checksums
        SHA-256 of each, by official name.
    about
        Where they came from, for people.

    Raises
    ------
    OSError
        If the folder can't be written.
    """
    place = folder(model)
    fresh, old = (place.with_name(f".{model}.{suffix}") for suffix in ("new", "old"))
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(fresh, ignore_errors=True)
    known: dict[str, dict[str, Any]] = {}
    for name, path in files.items():
        link = fresh / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path.absolute())
        known[name] = {**_stamp(path), "sha256": checksums[name]}
    (fresh / _ABOUT).write_text(json.dumps({**about, "files": known}, indent=1))
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)
    return place


def _stamp(path: Path) -> dict[str, int]:
    status = path.stat()
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def checksum(model: str, path: Path) -> str | None:
    """Return the SHA-256 that is known of a file of a model; None if it has changed since, or none is known.

    Raises
    ------
    OSError
        If the file can't be read.
    ValueError
        If ``about.json`` is damaged.
    """
    place = folder(model)
    about = place / _ABOUT
    if not about.is_file() or not path.is_relative_to(place):
        return None
    try:
        known = json.loads(about.read_text())["files"][path.relative_to(place).as_posix()]
        stamp = {key: int(known[key]) for key in ("size", "mtime_ns")}
        digest = str(known["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{about} is damaged ({error!r}): run `jackdaw models download {model}` again") from error
    return digest if stamp == _stamp(path) else None


def is_accepted(licence: str) -> bool:
    """Return whether the user has accepted a licence before."""
    path = _home() / _LICENCES
    if not path.is_file():
        return False
    try:
        return licence in json.loads(path.read_text())
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): delete it, and you are asked again") from error


def accept_licence(licence: str) -> None:
    """Remember that the user has accepted it."""
    path = _home() / _LICENCES
    accepted = json.loads(path.read_text()) if path.is_file() else []
    if licence not in accepted:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(json.dumps([*accepted, licence]))
        fresh.replace(path)
