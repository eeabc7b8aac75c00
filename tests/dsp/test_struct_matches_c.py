"""Python and C see the same struct: every offset and size, as the C and the C++ compiler lay it out."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from jackdaw.dsp import ffi, lib

STRUCTS = ["jd_header", "jd_midi_event", "jd_anchor", "jd_transport", "jd_told", "jd_jack_api"]
LINES = {
    "magic": 0,
    "out_write": 1,
    "writer_heartbeat_ns": 2,
    "out_read": 3,
    "blocks": 4,
    "reader_heartbeat_ns": 5,
    "transport_seq": 6,
    "peak_out": 7,
    "told_seq": 8,
    "histogram": 9,
}


def _layout_in_python(struct: str) -> dict[str, tuple[int, int]]:
    return {name: (field.offset, ffi.sizeof(field.type)) for name, field in ffi.typeof(struct).fields}


@pytest.mark.parametrize("language", ["c", "c++"])
def test_every_field_lies_where_the_compiler_puts_it(repository: Path, tmp_path: Path, language: str) -> None:
    lines = ["#include <stddef.h>", "#include <stdio.h>", "#include <jackdaw/session.h>", "int main(void) {"]
    for struct in STRUCTS:
        lines.append(f'printf("{struct} . 0 %zu\\n", sizeof({struct}));')
        lines += [
            f'printf("{struct} {f} %zu %zu\\n", offsetof({struct}, {f}), sizeof((({struct}*)0)->{f}));'
            for f in _layout_in_python(struct)
        ]
    source = tmp_path / ("layout.c" if language == "c" else "layout.cpp")
    source.write_text("\n".join([*lines, "return 0; }"]))
    program = tmp_path / "layout"
    compiler = os.environ.get("CC", "cc") if language == "c" else os.environ.get("CXX", "c++")
    include = repository / "dsp" / "include"
    subprocess.run([compiler, "-x", language, f"-I{include}", str(source), "-o", str(program)], check=True)
    printed = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    for line in printed.splitlines():
        struct, field, offset, size = line.split()
        expected = (0, ffi.sizeof(struct)) if field == "." else _layout_in_python(struct)[field]
        assert (int(offset), int(size)) == expected, line


def test_no_field_of_the_header_is_unknown_to_python(repository: Path) -> None:
    text = (repository / "dsp/include/jackdaw/segment.h").read_text()
    body = re.search(r"typedef struct jd_header \{(.*?)\} jd_header;", text, re.DOTALL)
    assert body is not None
    declared = re.findall(r"^\s+\w+ (\w+)(?:\[\d+\])?;", body[1], re.MULTILINE)
    assert declared == [name for name, _ in ffi.typeof("jd_header").fields]


def test_owners_have_cache_lines_of_their_own() -> None:
    layout = _layout_in_python("jd_header")
    for field, line in LINES.items():
        assert layout[field][0] == 64 * line, field


def test_constants_are_the_headers() -> None:
    assert lib.JD_ABI_VERSION == 2
    assert ffi.sizeof(ffi.typeof("jd_midi_event").fields[2][1].type) == lib.JD_MIDI_BYTES
    assert ffi.typeof("jd_header").fields[-1][1].type.length == lib.JD_HISTOGRAM_BINS
