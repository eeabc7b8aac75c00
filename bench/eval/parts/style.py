"""Style: is what the model plays taken for the style that was asked for?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from clips import Clip
from judge_style import Judge, fit
from material import SYNONYMS, Song, spread
from plots import matrix
from scores import ratio
from study import Finding, Study

__all__ = ["measure"]

GROUPS = 10
STRENGTH = 0.03


def _groups(study: Study) -> list[str]:
    """The groups with most held-out songs; those that are not in the training cannot be asked for."""
    trained = {song.group for song in study.songs if song.split == "train"} & set(SYNONYMS)
    counts = Counter(song.group for song in study.held_out("progression") if song.group in trained)
    return sorted(sorted(counts, key=lambda name: (-counts[name], name))[:GROUPS])


def _excerpts(
    study: Study, songs: Sequence[Song], starts: Sequence[float], seconds: float, *, coded: bool = False
) -> tuple[list[str], list[Any]]:
    """Groups and embeddings of stretches of songs, as they are or through the model's codec."""
    places = [(song, start) for song in songs for start in starts if start + seconds <= song.seconds]
    tick, files = study.counter("style: songs", len(places)), []
    for song, start in places:
        files.append(study.coded(song, start, seconds) if coded else study.excerpt(song, start, seconds))
        tick(1)
    return [song.group for song, _ in places], study.verdicts("style", "embedding", files)


def _named(judge: Judge, rows: list[list[float]]) -> list[str]:
    return [judge.names[i] for i in judge.probabilities(np.array(rows)).argmax(axis=1)]


def _accuracy(asked: Sequence[str], heard: Sequence[str]) -> float:
    return float(np.mean([a == b for a, b in zip(asked, heard, strict=True)]))


def _counts(names: Sequence[str], asked: Sequence[str], heard: Sequence[str]) -> list[list[int]]:
    pairs = Counter(zip(asked, heard, strict=True))
    return [[pairs[one, other] for other in names] for one in names]


def measure(study: Study) -> Finding:
    """Train a classifier on musicnn's embedding of training songs; let it name the model's clips."""
    names = _groups(study)
    if len(names) < 2:
        raise ValueError("the corpus has too few held-out songs of trained styles: build a longer one (--hours 5)")
    seconds = study.count(10, 6)
    starts = (8.0, 22.0)[: study.count(2, 1)]
    of_group = {name: [s for s in study.songs if s.group == name and s.split == "train"] for name in names}
    training = [song for name in names for song in spread(of_group[name], study.count(25, 4))]
    labels, rows = _excerpts(study, training, starts, seconds)
    held = [song for song in study.held_out("progression") if song.group in names]
    decoded: tuple[list[str], list[Any]] = [], []
    if study.codes_sound:  # the judge is to tell styles apart, not the codec from the songs
        more, again = _excerpts(study, training, starts[:1], seconds, coded=True)
        labels, rows = labels + more, rows + again
        decoded = _excerpts(study, spread(held, study.count(60, 6)), starts[:1], seconds, coded=True)
    judge = fit(np.array(rows), np.array([names.index(name) for name in labels]), names, STRENGTH)
    truth, rows = _excerpts(study, spread(held, study.count(120, 12)), starts, seconds)
    real = _named(judge, rows)
    foreign = [song for song in study.held_out("groove") if song.group in names]
    others, rows = _excerpts(study, spread(foreign, study.count(60, 6)), starts, seconds)
    accuracy = {"real": _accuracy(truth, real), "foreign": _accuracy(others, _named(judge, rows)) if others else None}
    accuracy["coded"] = _accuracy(decoded[0], _named(judge, decoded[1])) if decoded[0] else None
    clips, groups, count = [], [], study.count(8, 1)
    for name in names:
        families = sorted({song.family for song in of_group[name]})
        seen = [families[(2 * i + 1) * len(families) // (2 * count)] for i in range(count)]
        unseen = [SYNONYMS[name][i % 2] for i in range(count)]
        for kind, prompts in (("seen", seen), ("unseen", unseen)):
            for number, prompt in enumerate(prompts):
                title = f"{kind}-{name.replace(' ', '-')}-{number}"
                clips.append(Clip(name=title, seconds=seconds, seed=300 + number, prompt=prompt))
                groups.append((kind, name))
    files = study.clips("style", clips)
    heard = _named(judge, study.verdicts("style", "embedding", files))
    split = {}
    for kind in ("seen", "unseen"):
        mine = [i for i, (which, _) in enumerate(groups) if which == kind]
        split[kind] = [groups[i][1] for i in mine], [heard[i] for i in mine]
        accuracy[kind] = _accuracy(*split[kind])
    table: list[tuple[object, ...]] = [("prompt", "kind", "asked for", "heard as")]
    table += [(clip.prompt, kind, name, said) for clip, (kind, name), said in zip(clips, groups, heard, strict=True)]
    shown = [i for i, (kind, _) in enumerate(groups) if kind == "seen"][::count]
    return Finding(
        "Style",
        f"{len(names)} groups of styles, names of styles as prompts, clips of {seconds} s, no clock and no chords. The"
        " judge is a softmax regression on the penultimate layer of musicnn (trained by others on the Million Song"
        f" Dataset), fitted to {len(training)} training songs, as they are and through the"
        f" model's codec. Beside it {len(truth)} stretches of held-out songs in"
        " styles of the training. Prompts in unseen words are no captions and name no style of the training.",
        figures={
            "style_ratio": ratio(accuracy["seen"], accuracy["real"]),
            "synonym_ratio": ratio(accuracy["unseen"], accuracy["seen"]),
            "style_accuracy": accuracy["seen"],
            "style_accuracy_real": accuracy["real"],
            "style_accuracy_coded": accuracy["coded"],
            "synonym_accuracy": accuracy["unseen"],
            "style_chance": 1 / len(names),
        },
        rows=[
            ("right group", accuracy["seen"], accuracy["real"]),
            ("right group, prompts in unseen words", accuracy["unseen"], None),
            ("right group, held-out songs through the codec", None, accuracy["coded"]),
            ("right group, style files that are not in the training", None, accuracy["foreign"]),
            ("by chance", 1 / len(names), 1 / len(names)),
        ],
        detail=table,
        plots=[
            matrix(names, _counts(names, *split["seen"]), "model"),
            matrix(names, _counts(names, truth, real), "held-out training renders"),
        ],
        players=[(clips[i].prompt, files[i]) for i in shown],
    )
