"""Which chord a hand plays."""

from collections.abc import Iterable

from jackdaw.engine.models.contract import CHORD_TONES, Chord

__all__ = ["recognise"]

_TONES = {quality: frozenset(tones) for quality, tones in CHORD_TONES.items()}
_EXTRA, _MISSING, _BASS = -1.0, -0.5, 0.75
_MOST_EXTRA = 2
_FIFTH = 7


def recognise(notes: Iterable[int]) -> Chord | None:
    """Return the chord that these notes are, or None.

    Every tone of the chord must be there, save the fifth of a chord with a seventh; up to two others may be added.
    Among chords that the notes may be, the one with the most of them, least beside them, wins; the lowest note counts
    for a root, but not for more than a fourth tone does: C E G A is A minor 7 over any bass, while A C D sharp F sharp
    is named after its bass.

    Parameters
    ----------
    notes
        MIDI notes 0..127, in any order and octave. Fewer than three pitch classes are no chord.
    """
    pitches = sorted(notes)
    played = frozenset(pitch % 12 for pitch in pitches)
    if len(played) < 3:
        return None
    bass = pitches[0] % 12
    best: tuple[float, Chord | None] = (0.0, None)
    for root in sorted(played, key=lambda pitch: (pitch - bass) % 12):
        above = frozenset((pitch - root) % 12 for pitch in played)
        for quality, tones in _TONES.items():
            missing, extra = tones - above, len(above - tones)
            if extra > _MOST_EXTRA or (missing and (len(tones) < 4 or missing != {_FIFTH})):
                continue
            score = len(tones & above) + _EXTRA * extra + _MISSING * len(missing) + _BASS * (root == bass)
            if score > best[0]:
                best = (score, Chord(root=root, quality=quality))
    return best[1]
