"""The report: one HTML file that needs nothing else, with sound and pictures inside it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import soundfile
from study import Finding

__all__ = ["write_report"]

LONGEST_S = 20.0

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Jackdaw: evaluation of $model</title><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: .6em 0 } td, th { padding: .2em .8em; border-bottom: 1px solid #ddd }
th { text-align: left } td.n { text-align: right; font-variant-numeric: tabular-nums }
h2 { margin-top: 2em; border-top: 2px solid #444; padding-top: .4em } .note { background: #fff3cd; padding: .4em .8em }
.clips { display: flex; flex-wrap: wrap; gap: .8em } figure { margin: 0 } figcaption { font-size: 13px; color: #555 }
audio { width: 290px } details { margin: .6em 0; font-size: 13px } img { max-width: 100% } .small { color: #666 }
</style></head><body>
<h1>Evaluation of <code>$model</code></h1>
<p class="small">$about</p>
$note
<table><tr><th>figure</th><th>value</th></tr>$summary</table>
$sections
<h2>The judges</h2>
<p>madmom (tempo, beats, chords, chroma; its models are CC BY-NC-SA 4.0), ViSQOL (Apache-2.0), basic-pitch
(Apache-2.0) and musicnn (ISC) listen in an environment of their own. They evaluate; nothing of them is shipped, and
nothing that is shipped was made with them. "Training renders" are songs of the
corpus that were held out of training.</p>
</body></html>
""")

_SECTION = Template("""<h2 id="$name">$title</h2><p>$what</p>$note$rows
<div>$plots</div><div class="clips">$players</div>$detail""")


def _cell(value: Any) -> str:
    if value is None:
        return '<td class="n">-</td>'
    if isinstance(value, bool | int):
        return f'<td class="n">{value}</td>'
    if isinstance(value, float):
        small = 0 < abs(value) < 0.001
        return f'<td class="n">{value:.1e}</td>' if small else f'<td class="n">{value:.3f}</td>'
    return f"<td>{html.escape(str(value))}</td>"


def _table(heading: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{html.escape(str(name))}</th>" for name in heading)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _player(caption: str, path: Path) -> str:
    """The last 20 s of a file, as Ogg Opus."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    out = io.BytesIO()
    soundfile.write(out, audio[-int(LONGEST_S * rate) :], rate, format="OGG", subtype="OPUS")
    source = _data("audio/ogg", out.getvalue())
    text = html.escape(caption)
    return f'<figure><figcaption>{text}</figcaption><audio controls preload="none" src="{source}"></audio></figure>'


def _note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>' if text else ""


def _section(name: str, finding: Finding) -> str:
    table = ""
    if finding.detail:
        heading, *lines = finding.detail
        table = f"<details><summary>every clip</summary>{_table(heading, lines)}</details>"
    rows = _table(("", "model", "training renders"), finding.rows) if finding.rows else ""
    return _SECTION.substitute(
        name=name,
        title=html.escape(finding.title),
        what=finding.what,
        note=_note(finding.note),
        rows=rows,
        plots="".join(f'<img alt="plot" src="{_data("image/png", plot)}">' for plot in finding.plots),
        players="".join(_player(caption, path) for caption, path in finding.players),
        detail=table,
    )


def write_report(path: Path, model: str, about: str, note: str, findings: dict[str, Finding]) -> None:
    """Write the report.

    Parameters
    ----------
    path
        Of the HTML file.
    model, about
        What was evaluated; weights, corpus, time.
    note
        A warning on top, or nothing.
    findings
        By part.
    """
    figures = {name: value for finding in findings.values() for name, value in finding.figures.items()}
    plain = [(name, value) for name, value in figures.items() if not isinstance(value, list)]
    page = _PAGE.substitute(
        model=html.escape(model),
        about=html.escape(about),
        note=_note(note),
        summary="".join(f"<tr><td><code>{name}</code></td>{_cell(value)}</tr>" for name, value in plain),
        sections="".join(_section(name, finding) for name, finding in findings.items()),
    )
    part = path.with_suffix(".part")
    part.write_text(page, encoding="utf-8")
    part.replace(path)
