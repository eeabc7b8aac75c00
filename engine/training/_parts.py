"""The players of a song: who plays which part, with which sound, and who is left out.

A song has up to four parts, always in the order of PARTS; each is rendered to a stem of its own. Pure functions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ._mma import Event, Midi, Note

__all__ = ["PARTS", "choose_version", "divide", "exchange_sounds", "part_of"]

PARTS = ("drums", "bass", "harmony", "melody")
DRUMS = 9
_BASSES = frozenset({*range(32, 40), 43, 58})
# Sounds that may stand in for each other.
_FAMILIES = (
    (0, 1, 2), (4, 5), (16, 17, 18), (24, 25), (26, 27), (29, 30), (32, 43), (33, 34, 35), (36, 37), (38, 39),
    (48, 49), (50, 51), (61, 62), (64, 65, 66), (71, 73, 68), (56, 59), (80, 81), (88, 89, 91),
)  # fmt: skip


def part_of(note: Note, lead: int | None) -> int:
    """Index in PARTS of a note; `lead` is the melody's channel, if there is one."""
    if note.channel == DRUMS:
        return 0
    if note.channel == lead:
        return 3
    return 1 if note.program in _BASSES else 2


def divide(notes: Sequence[Note], lead: int | None) -> list[list[Note]]:
    """Return the notes of each part."""
    parts: list[list[Note]] = [[] for _ in PARTS]
    for note in notes:
        parts[part_of(note, lead)].append(note)
    return parts


def exchange_sounds(midi: Midi, chance: float, rng: np.random.Generator) -> Midi:
    """Let each sound of the song, with a chance, be played by a kindred one."""
    other = {}
    for family in _FAMILIES:
        for program in family:
            able = [p for p in family if p != program]
            take, which = rng.random() < chance, int(rng.integers(len(able)))
            if take:
                other[program] = able[which]
    notes = tuple(
        note if note.channel == DRUMS else dataclasses.replace(note, program=other.get(note.program, note.program))
        for note in midi.notes
    )
    events = tuple(
        dataclasses.replace(e, a=other.get(e.a, e.a)) if e.kind == 0xC0 and e.channel != DRUMS else e
        for e in midi.events
    )
    return Midi(notes, _in_order(events), midi.tempo_map)


def _in_order(events: Sequence[Event]) -> tuple[Event, ...]:
    return tuple(sorted(events, key=lambda event: event.time))


def choose_version(parts: Sequence[Sequence[Note]], rng: np.random.Generator) -> tuple[str, tuple[bool, ...]]:
    """Return "full" (seven songs in ten), "duo" or "solo", and which parts play.

    A part with fewer than 8 notes is nobody to play alone; nor are drums.
    """
    draw, order = rng.random(), rng.permutation(len(PARTS))
    able = [int(i) for i in order if len(parts[i]) >= 8]
    alone = [i for i in able if i != 0]
    everybody = tuple(bool(part) for part in parts)
    if draw < 0.12 and len(able) > 1 and alone:
        return "solo", tuple(i == alone[0] for i in range(len(PARTS)))
    if draw < 0.3 and len(able) > 2 and alone:
        two = {alone[0], next(i for i in able if i != alone[0])}
        return "duo", tuple(i in two for i in range(len(PARTS)))
    return "full", everybody
