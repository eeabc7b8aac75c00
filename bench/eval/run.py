"""Evaluate the bundled model by judges that were not written here, on material that it never trained on.

    python bench/eval/run.py --corpus DIR --out build/eval [--only tempo,chords,...] [--quick]

Writes ``OUT/report.html`` and prints one JSON object as its last line. Clips and verdicts are files in OUT: a run that
was stopped goes on where it was, and what the same weights played is not played again. See docs/eval.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import _results
from material import read_corpus
from parts import PARTS
from report import write_report
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from study import Finding, Study, need_judges

from jackdaw.engine.weights.fingerprint import fingerprint
from jackdaw.engine.weights.registry import load_model

__all__ = ["main"]

MODEL = "tiny"
STOPPED = 130


def _rounded(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def evaluate(corpus: Path, out: Path, only: list[str], quick: bool) -> dict[str, Any]:
    """Run the parts, write the report, and return the figures.

    Raises
    ------
    FileNotFoundError, ValueError
        With a text for the user, if something is missing.
    """
    need_judges()
    songs = read_corpus(corpus)
    out.mkdir(parents=True, exist_ok=True)
    model, weights = load_model(MODEL), fingerprint(MODEL)
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    findings: dict[str, Finding] = {}
    seconds: dict[str, float] = {}
    with Progress(*columns, console=console) as bars, Study(model, weights, songs, out, quick, bars) as study:
        whole = bars.add_task("evaluation", total=len(only))
        model.warm_up()
        for name in only:
            begun = time.perf_counter()
            findings[name] = PARTS[name](study)
            seconds[name] = round(time.perf_counter() - begun, 1)
            bars.advance(whole)
            bars.console.print(f"{name}: " + ", ".join(f"{k} {_rounded(v)}" for k, v in findings[name].figures.items()))
    about = f"weights {weights}, {len(songs)} songs in the corpus, {time.strftime('%Y-%m-%d %H:%M')}"
    note = "A quick run: it shows that everything works; its figures mean little." if quick else ""
    write_report(out / "report.html", MODEL, about, note, findings)
    figures = {name: _rounded(value) for part in findings.values() for name, value in part.figures.items()}
    return {"model": MODEL, "weights": weights, "quick": quick, **figures, "seconds": seconds}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="folder that engine/training/corpus.py made")
    parser.add_argument("--out", type=Path, default=Path("build/eval"), help="folder for clips, verdicts and report")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, separated by commas, of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="a few of everything, to see that it works")
    given = parser.parse_args()
    only = [name for name in given.only.split(",") if name]
    unknown = sorted(set(only) - set(PARTS))
    if unknown or not only:
        parser.error(f"no such part: {', '.join(unknown) or 'none was named'}; there are {', '.join(PARTS)}")
    try:
        figures = evaluate(given.corpus, given.out, only, given.quick)
    except (FileNotFoundError, ValueError) as error:
        print(f"eval: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"eval: stopped; run the same command again to go on ({given.out} keeps what is done)", file=sys.stderr)
        return STOPPED
    if not given.quick:
        _results.append("eval", figures)
    print(f"report: {given.out / 'report.html'}", file=sys.stderr)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
