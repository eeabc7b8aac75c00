"""Whoever plays a chord is understood, whatever its inversion, octave or doubling."""

import itertools

import pytest

from jackdaw.engine.chords import recognise
from jackdaw.engine.models.contract import Chord

TONES = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "dim": (0, 3, 6),
}


@pytest.mark.parametrize("quality", TONES)
def test_every_chord_in_every_inversion_and_voicing(quality: str) -> None:
    for root, octaves in itertools.product(range(12), itertools.product((3, 4, 5), repeat=len(TONES[quality]))):
        notes = [12 * octave + root + tone for octave, tone in zip(octaves, TONES[quality], strict=True)]
        assert recognise(notes) == Chord(root=root, quality=quality)
        assert recognise([*notes, notes[0] + 24]) == Chord(root=root, quality=quality)


@pytest.mark.parametrize(
    ("notes", "root", "quality"),
    [
        ([48, 64, 70], 0, "7"),  # without its fifth
        ([48, 63, 70], 0, "min7"),
        ([48, 64, 71, 74], 0, "maj7"),  # C E B D: no fifth, a ninth
        ([48, 64, 67, 71, 74], 0, "maj7"),
        ([52, 55, 59, 62], 4, "min7"),
        ([48, 64, 67, 74], 0, "maj"),  # an added ninth
        ([48, 52, 55, 57], 9, "min7"),  # over C, it is A minor 7 still
        ([45, 48, 51, 54], 9, "dim"),  # diminished sevenths are named after the bass
        ([48, 51, 54, 57], 0, "dim"),
        ([48, 51, 54, 58], 0, "dim"),  # half diminished
        ([51, 60, 66, 70], 3, "min"),  # the same over E flat
    ],
)
def test_what_players_add_and_leave_out(notes: list[int], root: int, quality: str) -> None:
    assert recognise(notes) == Chord(root=root, quality=quality)


@pytest.mark.parametrize(
    "notes",
    [[], [60], [60, 64], [48, 60, 64, 72], [60, 62, 67], [60, 65, 67], [60, 64, 68], [60, 61, 62], list(range(60, 72))],
    ids=str,
)
def test_what_is_no_chord(notes: list[int]) -> None:
    assert recognise(notes) is None
