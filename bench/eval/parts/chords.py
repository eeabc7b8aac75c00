"""Chords: does the model play the harmony that it is given?"""

from __future__ import annotations

import numpy as np
from clips import request
from material import spread
from plots import pairs
from scores import chord_agreement, ratio
from study import Finding, Study

__all__ = ["measure"]


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def measure(study: Study) -> Finding:
    """Ask for the chords of songs whose progressions were never trained on; let madmom name them."""
    seconds = study.count(20, 10)
    songs = [song for song in study.held_out("progression") if song.seconds >= seconds]
    songs = spread(songs, study.count(40, 4))
    starts = [song.bar_after(5.0, seconds) for song in songs]
    clips = [
        request(song, seconds, 100 + number, chords=song.chords(start, seconds))
        for number, (song, start) in enumerate(zip(songs, starts, strict=True))
    ]
    files = study.clips("chords", clips)
    real = [study.excerpt(song, start, seconds) for song, start in zip(songs, starts, strict=True)]
    heard = study.verdicts("chords", "chords", files + real)
    told = [clip.chords for clip in clips]
    scores: dict[str, list[float | None]] = {}
    for roots in (False, True):
        for who, verdicts in (("model", heard[: len(files)]), ("real", heard[len(files) :])):
            scores[f"{who} {roots}"] = [
                chord_agreement(asked, said, roots=roots) for asked, said in zip(told, verdicts, strict=True)
            ]
    mine, theirs = _mean(scores["model False"]), _mean(scores["real False"])
    table: list[tuple[object, ...]] = [("song", "style", "progression", "model", "training render")]
    both = []
    for song, one, other in zip(songs, scores["model False"], scores["real False"], strict=True):
        table.append((song.name, song.family, song.labels["progression"], one, other))
        if one is not None and other is not None:
            both.append((other, one))
    return Finding(
        "Chords",
        f"{len(clips)} clips of {seconds} s, given the style, tempo and chords of held-out songs whose progressions are"
        " not in the training; madmom names the chords. Share of the time with the right major or minor triad; time in"
        " which the song has neither does not count. Beside it the songs themselves, same stretches.",
        figures={
            "chord_ratio": ratio(mine, theirs),
            "chord_agreement": mine,
            "chord_agreement_real": theirs,
            "root_ratio": ratio(_mean(scores["model True"]), _mean(scores["real True"])),
        },
        rows=[
            ("right triad, share of the time", mine, theirs),
            ("right root, share of the time", _mean(scores["model True"]), _mean(scores["real True"])),
        ],
        detail=table,
        plots=[pairs([p[0] for p in both], [p[1] for p in both], ("training render", "model"))] if both else [],
        players=[
            (f"{song.family}: {song.labels['progression']}", file) for song, file in zip(songs[:4], files, strict=False)
        ],
    )
