"""The native library, opened through cffi; the C headers are the one definition of every struct and function."""

import ctypes
import re
import sys
from pathlib import Path
from typing import Any

from cffi import FFI

__all__ = ["ffi", "lib", "library_path", "xla_calls"]

_HEADERS = ("segment.h", "tap.h", "news.h", "session.h", "timebase.h", "pghi.h")
_LIBRARY, _XLA_LIBRARY = "libjackdaw_dsp.so", "libjackdaw_xla.so"


def _declarations(text: str) -> str:
    """Strip what cffi's parser does not read: preprocessor lines and the C++ linkage guards."""
    text = re.sub(r"#ifdef __cplusplus.*?#endif[^\n]*", "", text, flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _find(relative: str) -> Path:
    """Find a file of this package: an editable install has the sources in one folder and what was built in another."""
    folders = [Path(folder) for folder in sys.modules["jackdaw.dsp"].__path__]
    for folder in folders:
        if (folder / relative).is_file():
            return folder / relative
    raise ImportError(
        f"jackdaw.dsp: {relative} is in none of {', '.join(map(str, folders))}: "
        "build it with `pip install --no-build-isolation -e .`"
    )


def xla_calls() -> ctypes.CDLL:
    """Open the library of what XLA calls from compiled steps."""
    return ctypes.CDLL(str(_find(_XLA_LIBRARY)))


def _open() -> tuple[FFI, Any, str]:
    path = str(_find(_LIBRARY))
    builder = FFI()
    for header in _HEADERS:
        builder.cdef(_declarations(_find(f"include/jackdaw/{header}").read_text(encoding="utf-8")))
    return builder, builder.dlopen(path), path


ffi, lib, library_path = _open()
