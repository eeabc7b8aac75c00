"""What the songs of the corpus will be: style, progression, form, key, tempo and sounds, before anything is rendered.

A plan depends on (seed, index) alone, so a longer corpus begins with the shorter one.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._mma import grooves
from ._progressions import PROGRESSIONS, QUALITIES, Progression, labelled_chord
from ._styles import GROUPS, STYLES, Style

__all__ = ["Plan", "changes", "plan_song"]

#: Qualities of chords that are to be heard on all roots alike, and the number of songs in which they shall be.
_HEARD, _ROUND = ("maj", "min", "7", "maj7", "min7", "dim"), 120

#: Of every 12 songs the fifth is for validation and the eleventh for the test.
SPLITS = ("train",) * 4 + ("valid",) + ("train",) * 5 + ("test",) + ("train",)

Bar = tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Plan:
    """What a song will be, before anything is compiled or rendered.

    Attributes
    ----------
    index : int
        Its place in the corpus.
    split, held : str
        "train", "valid" or "test"; what is new in it: "" (nothing: training), "groove" or "progression".
    style : Style
        Its style file.
    grooves : tuple of (str, int)
        Groove names in order with the number of bars each plays.
    bars : tuple
        One entry a bar: the chords ``(root 0-11, MMA type)``, one or two.
    progression : Progression
        The chorus the bars were made from.
    tonic : int
        Pitch class of the key.
    bpm : float
        Felt beats per minute wanted; the labels carry what MMA made of it.
    soundfont : str
        Key of the render module's table; of the test split, one song in three has sounds that are never trained on.
    seed : int
        Of the whole corpus.
    """

    index: int
    split: str
    held: str
    style: Style
    grooves: tuple[tuple[str, int], ...]
    bars: tuple[Bar, ...]
    progression: Progression
    tonic: int
    bpm: float
    soundfont: str
    seed: int


def _cycle(items: Sequence[Any], turn: int, key: Sequence[int]) -> Any:
    """The item for a turn: every round goes once through all items, in an order of its own."""
    order = np.random.default_rng([*key, turn // len(items)]).permutation(len(items))
    return items[order[turn % len(items)]]


def _turns(split: str) -> list[tuple[str, int, int]]:
    """Groups in a round, as (group, which of its turns, how many): in training the root of the number of its files."""
    files = Counter(style.group for style in STYLES if not style.held)
    counts = {group: round(files[group] ** 0.5) if split == "train" else 1 for group in GROUPS}
    return [(group, number, count) for group, count in counts.items() for number in range(count)]


def _choose_style(seed: int, index: int) -> tuple[str, str, Style]:
    """Split, what is held out, and style of a song: groups in turn, then the files of the group in turn."""
    split = SPLITS[index % 12]
    turn = sum(SPLITS[i % 12] == split for i in range(index))
    if split != "train" and turn % 2 == 0:
        return split, "groove", _cycle([s for s in STYLES if s.held == split], turn // 2, [seed, 1])
    held = "" if split == "train" else "progression"
    visit = turn if split == "train" else turn // 2
    salt = ("train", "valid", "test").index(split)
    turns = _turns(split)
    group, number, count = _cycle(turns, visit, [seed, 2, salt])
    files = [s for s in STYLES if s.group == group and not s.held]
    return split, held, _cycle(files, visit // len(turns) * count + number, [seed, 3, salt])


@functools.cache
def _choose_progression(seed: int, index: int) -> Progression:
    """Progression of a song, of those of its style's group."""
    _, held, style = _choose_style(seed, index)
    able = [p for p in PROGRESSIONS if p.pool in GROUPS[style.group].pools]
    if held != "groove":
        able = [p for p in able if p.held == (held == "progression")]
    return able[int(np.random.default_rng([seed, 6, index]).integers(len(able)))]


@functools.cache
def _shifts(seed: int, turn: int) -> tuple[int, ...]:
    """By how many half steps the progressions of a round of songs are moved.

    Song by song the shift is taken that brings each quality of chord to those roots where the round has had least of
    it; the rarer a quality, the more its place counts.
    """
    rng = np.random.default_rng([seed, 7, turn])
    heard, taken = np.zeros((len(_HEARD), 12)), []
    for index in range(turn * _ROUND, (turn + 1) * _ROUND):
        own = np.zeros_like(heard)
        for root, kind in (chord for bar in _choose_progression(seed, index).bars for chord in bar):
            own[_HEARD.index(labelled_chord(root, QUALITIES[kind][0]).quality), root] += 1
        own /= own.sum()
        weighted = heard / (heard.sum(axis=1, keepdims=True) + 1) ** 2
        costs = [float((weighted * np.roll(own, shift, axis=1)).sum()) for shift in range(12)]
        taken.append(min(map(int, rng.permutation(12)), key=costs.__getitem__))
        heard += np.roll(own, taken[-1], axis=1)
    return tuple(taken)


def _kind(name: str) -> str:
    """What a groove is for, by its author's spelling: "DescendingJazz" is no ending."""
    for kind, words in (("intro", ("Intro", "intro")), ("end", ("End",)), ("fill", ("Fill",))):
        if any(word in name for word in words):
            return kind
    return "other" if "Metronome" in name or "Triple" in name else "body"


def _choose_grooves(
    style: Style, bars: int, chorus: int, rng: np.random.Generator
) -> tuple[list[tuple[str, int]], int, int]:
    """Grooves with their bars; also how many bars are introduction and how many ending."""
    if style.patterns:  # these know their own form
        return [(str(rng.choice(style.patterns)), max(chorus, 4 * round(bars / 4)) + 1)], 0, 1
    by_kind: dict[str, list[tuple[str, int]]] = {"intro": [], "end": [], "fill": [], "body": [], "other": []}
    for name, (_, size) in grooves(style.file).items():
        by_kind[_kind(name)].append((name, size))

    def pick(kind: str, chance: float, longest: int) -> tuple[str, int] | None:
        able = [g for g in by_kind[kind] if g[1] <= longest]
        wanted = rng.random() < chance
        which = int(rng.integers(1 << 30))
        return able[which % len(able)] if able and wanted else None

    intro = pick("intro", 0.5, 4)
    end = pick("end", 0.8, 4)
    fill = pick("fill", 0.7, min(4, chorus // 2))
    first = str(rng.choice([g[0] for g in by_kind["body"]]))
    second = str(rng.choice([g[0] for g in by_kind["body"]]))
    head, tail = (intro[1] if intro else 0), (end[1] if end else 1)
    body = max(chorus, 4 * round((bars - head - tail) / 4))
    section = chorus if chorus >= 8 else 8

    played: list[tuple[str, int]] = [intro] if intro else []
    for number, at in enumerate(range(0, body, section)):
        length = min(section, body - at)
        name = first if number % 2 == 0 else second
        if fill and at + length < body and length > fill[1]:
            played += [(name, length - fill[1]), fill]
        else:
            played.append((name, length))
    played.append(end if end else (first, 1))
    return played, head, tail


def plan_song(seed: int, index: int) -> Plan:
    """Decide everything about a song; the same arguments give the same plan.

    Parameters
    ----------
    seed, index : int
        Of the corpus, >= 0; of the song, >= 0.
    """
    rng = np.random.default_rng([seed, 4, index])
    split, held, style = _choose_style(seed, index)
    progression, shift = _choose_progression(seed, index), _shifts(seed, index // _ROUND)[index % _ROUND]
    bpm = round(style.bpm * float(rng.uniform(0.85, 1.15)), 1)
    seconds = float(rng.uniform(40.0, 56.0))
    bars = max(8, round(seconds * bpm / 60 / style.bpb))
    played, head, tail = _choose_grooves(style, bars, len(progression.bars), rng)

    chorus = progression.bars
    body = sum(n for _, n in played) - head - tail
    home: Bar = ((0, "") if progression.mode == "major" else (9, "m"),)
    written = [chorus[(i - head) % len(chorus)] for i in range(head)]  # the introduction leads into the first bar
    written += [chorus[i % len(chorus)] for i in range(body)]
    written += [chorus[(i - tail) % len(chorus)] for i in range(tail - 1)] + [home]
    tonic = (shift + home[0][0]) % 12
    moved = tuple(tuple(((root + shift) % 12, kind) for root, kind in bar) for bar in written)
    soundfont = "MuseScore_General" if rng.random() < 0.3 else "FluidR3_GM"
    if split == "test" and rng.random() < 1 / 3:
        soundfont = "TimGM6mb"
    return Plan(index, split, held, style, tuple(played), moved, progression, tonic, bpm, soundfont, seed)


def changes(plan: Plan) -> list[list[tuple[int, int, str]]]:
    """For each bar the chords as (MMA beat it starts on, root, type); a second chord starts on a felt beat."""
    unit, second = plan.style.unit, math.ceil(plan.style.bpb / 2) * plan.style.unit
    rows = []
    for bar in plan.bars:
        row = [(0, *bar[0])]
        if len(bar) > 1 and unit == int(unit):
            row.append((int(second), *bar[1]))
        rows.append(row)
    return rows
