"""Reads safetensors files by memory map: arrays are views of the file, and pages come in when they are used.

What a file says of itself is checked before any array is made: a truncated file is refused at once, not on the frame
that would read its end. The file must not be written to while its arrays are in use.
"""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Described", "Mapped"]

_HEADER_LIMIT = 100 << 20  # the format's own
_SIZES = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "BF16": 2, "F16": 2, "I16": 2, "U16": 2}
_SIZES |= dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2"), 1)
_READ = {"F32", "BF16"}


@dataclass(frozen=True)
class Described:
    """What a file says of one array: the kind of its values, its shape, and where it begins, in bytes."""

    kind: str
    shape: tuple[int, ...]
    begin: int


class Mapped:
    """A safetensors file.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    ValueError
        If it is no safetensors file, or damaged; the text begins with its path.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"weight file {path} is not there")
        self.path = path
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(_HEADER_LIMIT, size - 8):
                raise ValueError(f"{path} is not a safetensors file, or its beginning is damaged: fetch it again")
            text = file.read(length)
        try:
            header = json.loads(text)
            about = dict(header.pop("__metadata__", {}))
            self.arrays = {name: self._described(name, entry) for name, entry in header.items()}
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise ValueError(f"{path}: its table of arrays is damaged ({error}): fetch it again") from error
        self.metadata: dict[str, str] = {str(key): str(value) for key, value in about.items()}
        self._start = 8 + length
        end = max((entry.begin + _bytes(entry) for entry in self.arrays.values()), default=0)
        if size != self._start + end:
            what = "truncated" if size < self._start + end else "longer than it says"
            raise ValueError(f"{path} is {what}: it has {size} bytes of {self._start + end}: fetch it again")
        self._bytes: NDArray[np.uint8] = np.memmap(path, np.uint8, "r")

    @staticmethod
    def _described(name: str, entry: dict[str, Any]) -> Described:
        begin, end = (int(offset) for offset in entry["data_offsets"])
        described = Described(str(entry["dtype"]), tuple(int(length) for length in entry["shape"]), begin)
        if described.kind not in _SIZES or min((begin, *described.shape)) < 0 or end - begin != _bytes(described):
            raise ValueError(f"array {name!r}")
        return described

    def read(self, name: str) -> NDArray[np.float32]:
        """Return an array as float32: a read-only view of the file, or, of bfloat16, a copy.

        Raises
        ------
        KeyError
            If there is no array of that name.
        ValueError
            If its values are of another kind, or not all are finite.
        """
        entry = self.arrays[name]
        if entry.kind not in _READ:
            raise ValueError(f"{self.path}: array {name} holds {entry.kind}; F32 and BF16 can be read")
        at = self._start + entry.begin
        raw = self._bytes[at : at + _bytes(entry)]
        if entry.kind == "F32":
            values = np.frombuffer(raw, "<f4")
        else:
            values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        with np.errstate(all="ignore"):
            finite = np.isfinite(values.sum(dtype=np.float32))
        if not finite:
            raise ValueError(f"{self.path}: array {name} has values that are not finite: it is damaged, fetch it again")
        return values.reshape(entry.shape)


def _bytes(entry: Described) -> int:
    return _SIZES[entry.kind] * prod(entry.shape)
