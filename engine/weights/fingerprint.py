"""Tells one set of weights from another, so that embeddings and states are never used with the wrong one."""

import hashlib
from pathlib import Path

from jackdaw import __version__
from jackdaw.engine.weights import installed
from jackdaw.engine.weights.registry import look_up

__all__ = ["fingerprint"]

_BLOCK = 1 << 20


def _feed(digest: "hashlib._Hash", path: Path) -> None:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)


def fingerprint(model: str) -> str:
    """Return the hash of a model's weight files, or of its name and version if it has none: 16 hexadecimal digits.

    Parameters
    ----------
    model
        Its name.

    Raises
    ------
    FileNotFoundError
        If weight files are missing; the text says which and what to do.
    OSError
        If one cannot be read.
    ValueError
        If what is known about fetched weights is damaged.
    """
    entry = look_up(model)
    files = [] if entry is None else entry.present_files()
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name}\n{path.stat().st_size}\n".encode())
        if entry is not None and not entry.bundled:  # gigabytes, of which the checksums are known
            digest.update((installed.checksum(entry.name, path) or installed.sha256(path)).encode())
        else:
            _feed(digest, path)
    if not files:
        digest.update(f"{model} {__version__}".encode())
    return digest.hexdigest()[:16]
