"""Chord progressions of the corpus, written in C major or A minor and transposed.

A progression is bars separated by spaces; a bar holds one chord or two, joined by a comma. Those marked held are never
used by the training split. Read by :mod:`jackdaw.engine.training.corpus`; nothing writes here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from jackdaw.engine.models.contract import Chord

__all__ = ["PROGRESSIONS", "QUALITIES", "ROOT_NAMES", "Progression", "labelled_chord", "parse_chord"]

#: MMA's spelling of a chord type -> the label's name (Harte's shorthand) and its pitch classes above the root.
QUALITIES: dict[str, tuple[str, tuple[int, ...]]] = {
    "": ("maj", (0, 4, 7)),
    "m": ("min", (0, 3, 7)),
    "7": ("7", (0, 4, 7, 10)),
    "M7": ("maj7", (0, 4, 7, 11)),
    "m7": ("min7", (0, 3, 7, 10)),
    "m7b5": ("hdim7", (0, 3, 6, 10)),
    "dim7": ("dim7", (0, 3, 6, 9)),
    "sus4": ("sus4", (0, 5, 7)),
    "6": ("maj6", (0, 4, 7, 9)),
    "m6": ("min6", (0, 3, 7, 9)),
    "9": ("9", (0, 4, 7, 10, 2)),
}

_TOLD: Mapping[str, str] = {
    "maj": "maj", "maj6": "maj", "sus4": "maj", "min": "min", "min6": "min", "7": "7", "9": "7", "maj7": "maj7",
    "min7": "min7", "dim": "dim", "hdim7": "dim", "dim7": "dim",
}  # fmt: skip

ROOT_NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_CHORD = re.compile(r"([A-G])([#b]?)(.*)")


def parse_chord(text: str) -> tuple[int, str]:
    """Split a chord name into its root and MMA chord type.

    Parameters
    ----------
    text : str
        Such as "Bbm7".

    Returns
    -------
    tuple of (int, str)
        Root as a pitch class 0-11 (C = 0) and a key of :data:`QUALITIES`.

    Raises
    ------
    ValueError
        If the name has no root or an unknown type.
    """
    match = _CHORD.fullmatch(text)
    if match is None or match[3] not in QUALITIES:
        raise ValueError(f"chord {text!r} is not known: use a root and one of {sorted(QUALITIES)}")
    root = _LETTERS[match[1]] + {"": 0, "#": 1, "b": -1}[match[2]]
    return root % 12, match[3]


def labelled_chord(root: int, label: str) -> Chord:
    """Return a label's chord (pitch class, one of the names in :data:`QUALITIES`) in the qualities that models know."""
    return Chord(root=root, quality=_TOLD[label])


@dataclass(frozen=True)
class Progression:
    """A chorus: its pool, mode, bars of (root, type) and whether it is held out of training."""

    pool: str
    mode: str
    text: str
    held: bool

    @property
    def bars(self) -> tuple[tuple[tuple[int, str], ...], ...]:
        """Bars in order, each one or two chords ``(root in C / A minor, MMA type)``."""
        return tuple(tuple(parse_chord(c) for c in bar.split(",")) for bar in self.text.split())


# pool, mode, bars; a leading "!" holds the progression out of training.
_TABLE = """
pop major C Am F G
pop major C F G C
pop major C G Am F
pop major Am F C G
pop major C Em F G
pop major F G Em Am
pop major C C F F G G C C
pop major C F C G C F C,G C
pop major C Am Dm G7
pop major C G F C C G F,G C
pop major C C7 F Fm C G7 C G7
pop major C Bb F C
pop minor Am F G Am
pop minor Am G F E7
pop minor Am Dm Am E7
pop minor Am C G Dm
pop minor Am F C G Am F E7 E7
pop minor Am Am Dm Dm F G Am Am
pop major C C#dim7 Dm7 G7
pop major C G#dim7 Am F
pop major CM7 Em7 FM7 G
pop major FM7 G Em7 Am7
pop minor Am7 FM7 CM7 G
pop minor Am Bm7b5 E7 Am
pop major !C E7 Am F
pop major !C Dm Em F C Dm F,G C
pop minor !Am Em F G Am Em Dm,E7 Am
blues major C7 C7 C7 C7 F7 F7 C7 C7 G7 F7 C7 G7
blues major C7 F7 C7 C7 F7 F7 C7 A7 Dm7 G7 C7,A7 D7,G7
blues major C C C C7 F F C C G7 F7 C C
blues minor Am7 Am7 Am7 Am7 Dm7 Dm7 Am7 Am7 F7 E7 Am7 E7
blues major C7 G7 F7 F7 C7 G7 C7 G7
blues minor Am Dm Am Am Dm Dm Am Am Dm E7 Am E7
blues major C7 F7 C7 C7 F7 F#dim7 C7 A7 Dm7 G7 C7 G7
blues minor Am7 Dm7 Am7 Am7 Dm7 Dm7 Am7 F#m7b5 Bm7b5 E7 Am7 E7
blues major !C7 F7 C7 C7 F7 F7 C7 C7 G7 G7 C7 C7
blues minor !Am6 Dm7 Am6 A7 Dm7 Dm7 Am6 Am6 Bm7b5 E7 Am6 E7
jazz major CM7 Am7 Dm7 G7
jazz major Dm7 G7 CM7 CM7
jazz major CM7 CM7 D7 D7 Dm7 G7 CM7 CM7
jazz major Em7 A7 Dm7 G7
jazz major C6 C6 A7 A7 D7 G7 C6 G7
jazz major CM7 FM7 Em7 A7 Dm7 G7 Em7,A7 Dm7,G7
jazz minor Am7 Dm7 G7 CM7 FM7 Bm7b5 E7 Am7
jazz minor Bm7b5 E7 Am6 Am6
jazz minor Am7 Am7 Dm7 Dm7 Bm7b5 E7 Am7 E7
jazz major C6,Am7 Dm7,G7 C6,Am7 Dm7,G7 CM7 FM7,Fm6 Em7,A7 Dm7,G7
jazz minor Am6 F7 Bm7b5 E7
jazz major CM7 BbM7 CM7 BbM7
jazz minor Am7 D9 Am7 D9 Dm7 G9 CM7 E7
jazz major CM7 C#dim7 Dm7 D#dim7 Em7 A7 Dm7 G7
jazz major C6 D#dim7 Dm7 G7
jazz minor Am7 F#m7b5 Bm7b5 E7
jazz major !CM7 Dm7 Em7 Dm7,G7 CM7 A7 Dm7 G7
jazz major !FM7 Fm6 CM7 A7 Dm7 G7 CM7 C7
jazz minor !Am7 FM7 Dm7 E7 Am7 FM7 Bm7b5 E7
rag major C A7 D7 G7
rag major C C E7 E7 A7 A7 D7 G7
rag major C G7 C C7 F C D7 G7
rag major C A7 D7 G7 C A7 D7,G7 C
rag major C C F F#dim7 C A7 D7,G7 C
rag minor Am E7 Am A7 Dm Am E7 Am
rag major C C#dim7 G7 C
rag minor Am G#dim7 Am E7 Am Bm7b5 E7 Am
rag major !E7 A7 D7 G7 C C#dim7 G7 C
latin minor Am Dm E7 E7
latin minor Am G F E7
latin major C F G7 F
latin major C F G7 C
latin minor Am7 D7 Am7 D7
latin minor Dm7 G7 CM7 FM7 Bm7b5 E7 Am Am
latin minor Am E7 E7 Am Am E7 E7 Am
latin major CM7 C#dim7 Dm7 G7
latin minor Am7 Bm7b5 E7 Am7
latin minor !Am A7 Dm Dm Am E7 Am E7
latin major !C G7 G7 C C7 F G7 C
tango minor Am Am E7 E7 E7 E7 Am Am
tango minor Am Dm E7 Am
tango minor Am A7 Dm Dm Am E7 Am Am
tango minor Dm Am E7 Am Dm Am E7 Am
tango major C G7 G7 C C A7 Dm,G7 C
tango minor Am Am Bm7b5 E7
tango minor Am D#dim7 Am E7 Dm G#dim7 Am Am
tango minor !Am F E7 Am Dm Am F,E7 Am
funk minor Am7 Am7 D9 D9
funk minor Am7 Am7 Am7 D7
funk major C9 C9 F9 F9
funk minor Am7 G FM7 G
funk major C7 Bb F C7
funk minor Am7 Dm7 Am7 Em7
funk minor Am F C G
funk major FM7 F#dim7 Em7 Am7
funk minor Am7 FM7 Bm7b5 E7
funk minor Dm7 Em7 FM7 Em7
funk minor !Am7 C7 D7 F7
funk major !C9 F9 C9 G7
classic major C C G7 G7 G7 G7 C C
classic major C F C G7 C F G7 C
classic major C G7 C F C G7 C C
classic major C Am Dm G7 C Am Dm,G7 C
classic minor Am Dm E7 Am Dm Am E7 Am
classic minor Am Am Dm Dm E7 E7 Am Am
classic major C Em Am F C G7 C C
classic major C F F#dim7 G7 C Am Dm,G7 C
classic minor Am G#dim7 Am Dm Bm7b5 E7 Am Am
classic major !C F G7 C Am Dm G7 C
classic minor !Am E7 Am Dm Am E7,Am Dm,E7 Am
gospel major C C7 F F C A7 D7 G7
gospel major C F C C F C D7 G7
gospel major C,F C,G7 Am,F C,G7
gospel major F C F C Dm7 G7 C,F C
gospel major C E7 Am C7 F C Dm,G7 C
gospel major Csus4 C F C
gospel minor Am Dm Am E7 Am F Am,E7 Am
gospel major C C7 F F#dim7 C A7 Dm7 G7
gospel major C C#dim7 Dm7 D#dim7 C F C,G7 C
gospel major CM7 Em7 FM7 G7
gospel major !C G Am Em F C F,G7 C
sad minor Am F C G
sad minor Am Dm G C F Bm7b5 E7 Am
sad minor Am Em F C Dm Am E7 Am
sad major C Em Am F Dm G7 C G7
sad minor Am7 FM7 CM7 E7
sad minor Am F Bm7b5 E7
sad minor Am G#dim7 Am7 F#m7b5 FM7 CM7 Dm7 E7
sad minor !Am C Dm F Am C E7 E7
"""


def _read_table() -> tuple[Progression, ...]:
    rows = []
    for line in _TABLE.strip().splitlines():
        pool, mode, text = line.split(" ", 2)
        rows.append(Progression(pool, mode, text.lstrip("!"), text.startswith("!")))
    return tuple(rows)


PROGRESSIONS: tuple[Progression, ...] = _read_table()
