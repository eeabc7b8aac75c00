"""One judge, asked over pipes. Runs in the judges' environment; nothing of Jackdaw is imported.

Reads questions from stdin, one line of JSON each: ``{"kind", "file"}`` and, for ``visqol``, ``"reference"``; answers
each with one line of JSON on stdout: ``{"verdict": ...}`` or ``{"error": ...}``. Kinds:

    beats       times of beats in seconds (madmom; Boeck et al. 2016)
    chords      [start, end, label] (madmom; Korzeniowski and Widmer 2016)
    chroma      12 strengths of pitch classes for each 100 ms, C first (madmom; Korzeniowski and Widmer 2016)
    notes       [start, end, MIDI pitch] (basic-pitch; Bittner et al. 2022)
    embedding   200 numbers (musicnn; Pons and Serra 2019)
    visqol      1 .. 4.73 (ViSQOL in audio mode; Chinen et al. 2020)
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import judge_music

__all__ = ["answer"]


def _chroma(path: Path) -> list[list[float]]:
    from madmom.audio.chroma import DeepChromaProcessor

    rows = DeepChromaProcessor()(judge_music.mono(judge_music.load(path)))
    return [[round(float(x), 3) for x in row] for row in rows]


@cache
def _transcriber() -> Any:
    logging.getLogger().setLevel(logging.ERROR)  # which runtimes are not installed is no news
    from basic_pitch import ICASSP_2022_MODEL_PATH
    from basic_pitch.inference import Model

    return Model(ICASSP_2022_MODEL_PATH)


def _notes(path: Path) -> list[tuple[float, float, int]]:
    model = _transcriber()
    from basic_pitch.inference import predict

    found = predict(path, model)[2]
    return sorted((round(float(start), 3), round(float(end), 3), int(pitch)) for start, end, pitch, *_ in found)


def _embedding(path: Path) -> list[float]:
    import tagger

    return [round(float(x), 4) for x in tagger.embed(judge_music.load(path, 16000), 16000)]


def answer(question: dict[str, str]) -> Any:
    """Return the verdict on one question.

    Raises
    ------
    ValueError
        If its kind is unknown.
    """
    path = Path(question["file"])
    kind = question["kind"]
    if kind == "beats":
        return [round(float(t), 3) for t in judge_music.find_beats(judge_music.load(path))]
    if kind == "chords":
        return judge_music.find_chords(judge_music.load(path))
    if kind == "chroma":
        return _chroma(path)
    if kind == "notes":
        return _notes(path)
    if kind == "embedding":
        return _embedding(path)
    if kind == "visqol":
        return judge_music.similarity(judge_music.load(Path(question["reference"])), judge_music.load(path))
    raise ValueError(f"no judge answers {kind!r}")


def main() -> None:
    """Answer until stdin ends."""
    out = os.fdopen(os.dup(1), "w")
    with contextlib.redirect_stdout(sys.stderr):
        for line in sys.stdin:
            try:
                said: dict[str, Any] = {"verdict": answer(json.loads(line))}
            except Exception as error:  # goes to whoever asked
                said = {"error": f"{type(error).__name__}: {error}"}
            out.write(json.dumps(said) + "\n")
            out.flush()


if __name__ == "__main__":
    main()
