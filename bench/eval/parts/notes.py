"""Notes: does the model play the notes that somebody holds?"""

from __future__ import annotations

from typing import Any

import numpy as np
from clips import request
from material import spread
from plots import pairs
from scores import note_f1, ratio
from study import Finding, Study

__all__ = ["measure"]

KEYS = ("f1", "precision", "recall")


def _mean(asked: list[Any], heard: list[Any], **how: Any) -> dict[str, float]:
    found = [note_f1(a, b, **how) for a, b in zip(asked, heard, strict=True)]
    return {key: float(np.mean([row[key] for row in found])) for key in KEYS}


def measure(study: Study) -> Finding:
    """Ask for the notes of held-out songs; let basic-pitch write down what is played."""
    names = ("note_f1_ratio", "note_f1", "note_f1_real", "note_f1_chance")
    if "notes" not in study.model.spec.controls:
        return Finding("Notes", "", dict.fromkeys(names), note="This model does not understand notes.")
    seconds = study.count(15, 8)
    songs = [song for song in study.held_out() if song.seconds >= seconds]
    songs = spread(songs, study.count(30, 3))
    starts = [song.bar_after(5.0, seconds) for song in songs]
    asked = [song.notes(start, seconds) for song, start in zip(songs, starts, strict=True)]
    clips = [
        request(song, seconds, 200 + number, notes=notes)
        for number, (song, notes) in enumerate(zip(songs, asked, strict=True))
    ]
    files = study.clips("notes", clips)
    real = [study.excerpt(song, start, seconds) for song, start in zip(songs, starts, strict=True)]
    heard = study.verdicts("notes", "notes", files + real)
    mine, theirs = heard[: len(files)], heard[len(files) :]
    model, truth = _mean(asked, mine), _mean(asked, theirs)
    folded, truth_folded = _mean(asked, mine, octaves=True), _mean(asked, theirs, octaves=True)
    chance = _mean(asked[1:] + asked[:1], mine)
    table: list[tuple[object, ...]] = [("song", "style", "notes asked", "model F1", "training render F1")]
    points = []
    for song, notes, one, other in zip(songs, asked, mine, theirs, strict=True):
        points.append((note_f1(notes, other)["f1"], note_f1(notes, one)["f1"]))
        table.append((song.name, song.family, len(notes), points[-1][1], points[-1][0]))
    return Finding(
        "Notes",
        f"{len(clips)} clips of {seconds} s, given the style, tempo and all pitched notes (and no chords) of held-out"
        " songs; basic-pitch writes down what it hears. A note is right if pitch and onset (100 ms) are. Chance: the"
        " same clips against the notes of another song.",
        figures={
            "note_f1_ratio": ratio(model["f1"], truth["f1"]),
            "note_f1": model["f1"],
            "note_f1_real": truth["f1"],
            "note_f1_chance": chance["f1"],
        },
        rows=[
            *((f"{key} of notes", model[key], truth[key]) for key in KEYS),
            ("F1 if octaves are the same", folded["f1"], truth_folded["f1"]),
            ("F1 by chance", chance["f1"], None),
        ],
        detail=table,
        plots=[pairs([p[0] for p in points], [p[1] for p in points], ("training render", "model"))],
        players=[(f"{song.family}, notes of song {song.name}", f) for song, f in zip(songs[:3], files, strict=False)],
        note="Dense arrangements are hard to write down: read the ratio, not the F1 alone.",
    )
