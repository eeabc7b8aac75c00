"""The native library, opened through cffi; the C headers are the one definition of every struct and function."""

import re
from importlib.resources import files

from cffi import FFI

__all__ = ["ffi", "lib", "library_path"]

_HEADERS = ("segment.h", "session.h", "pghi.h")


def _declarations(text: str) -> str:
    """Strip what cffi's parser does not read: preprocessor lines and the C++ linkage guards."""
    text = re.sub(r"#ifdef __cplusplus.*?#endif[^\n]*", "", text, flags=re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


def _open() -> tuple[FFI, object, str]:
    package = files("jackdaw.dsp")
    path = package.joinpath("libjackdaw_dsp.so")
    builder = FFI()
    for header in _HEADERS:
        builder.cdef(_declarations(package.joinpath("include", "jackdaw", header).read_text(encoding="utf-8")))
    return builder, builder.dlopen(str(path)), str(path)


ffi, lib, library_path = _open()
