"""Bands of our own, for styles that MMA has no grooves for: tables of patterns are turned into notes.

A groove (:class:`~._pattern_tables.Groove`) is lines of sixteen steps a bar, one for each drum and for each part; this
module reads them over the chords, and gives the song its form: parts that enter one by one, fills, a breakdown, and a
last chord. Invariants: a note that is held over a change of chord is struck again at the change, and somebody plays
whole chords from the first bar on. Randomness comes from the generator alone. Times are exact but for swing and for
lines that are loose by themselves; the caller loosens all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from ._mma import Event, Midi, Note
from ._pattern_tables import DRUMS, TABLE, Groove, Line
from ._progressions import QUALITIES

__all__ = ["GROOVES", "TEMPOS", "perform"]

Chord = tuple[int, int, str]

#: Style -> names of its grooves; the caller holds the last one of each out of training.
GROOVES: Mapping[str, tuple[str, ...]] = {name: tuple(style.grooves) for name, style in TABLE.items()}
#: Style -> lowest and highest tempo, felt beats a minute.
TEMPOS: Mapping[str, tuple[float, float]] = {name: style.tempo for name, style in TABLE.items()}

_STEPS, _DRUM_CHANNEL = 16, 9
_LOUD = {"X": 114, "x": 96, "o": 56}
_FILLS = (
    {"snare": "........x.x.xxXX", "kick": "x......."},
    {"snare": "........x..x..x.", "tom": "..........xx.xxX"},
    {"high tom": "........xx......", "tom": "..........xx....", "low tom": "............xxXX"},
    {"clap": "............x.xX", "snare": "............oxxX"},
)


class _Song:
    """The notes of a song in the making."""

    def __init__(self, groove: Groove, bars: Sequence[Sequence[Chord]], bpm: float, rng: np.random.Generator) -> None:
        self.groove, self.bars, self.rng = groove, bars, rng
        self.step = 60.0 / bpm / 4.0
        self.notes: list[Note] = []
        self.events: list[Event] = []
        self.voicing: dict[int, list[int]] = {}

    def enter(self, channel: int, line: Line) -> int:
        """Give a part its sound; returns the program."""
        program = int(self.rng.choice(line.programs))
        settings = ((0xC0, program, 0), (0xB0, 7, line.volume), (0xB0, 10, line.pan), (0xB0, 91, line.reverb))
        self.events += [Event(0.0, kind, channel, a, b) for kind, a, b in settings]
        return program

    def add(
        self,
        bar: int,
        at: int,
        length: float,
        pitch: int,
        velocity: int,
        channel: int,
        program: int,
        late: float = 0.0,
    ) -> None:
        """Add a note; place and length in steps. It begins `late` seconds after its place and ends on time."""
        swung = self.groove.swing * 0.5 if at % 2 else 0.0
        start = (bar * _STEPS + at + swung) * self.step
        loud = int(min(max(velocity + self.rng.normal(0, 4), 1), 127))
        self.notes.append(Note(start + late, start + length * self.step, pitch, channel, program, loud))

    def strike(
        self, bar: int, at: int, length: float, sign: str, velocity: int, line: Line, channel: int, program: int
    ) -> None:
        """Add the notes of a sign, all as late as the player's hand is this time."""
        late = self.rng.uniform(0.0, line.loose) if line.loose else 0.0
        for pitch in self.pitches(sign, line, channel, bar, at, self.chord_at(bar, at)):
            self.add(bar, at, length, pitch, velocity, channel, program, late)

    def chord_at(self, bar: int, step: int) -> Chord:
        """The chord that sounds at a step."""
        return [chord for chord in self.bars[bar] if chord[0] * 4 <= step][-1]

    def voiced(self, channel: int, chord: Chord, centre: int) -> list[int]:
        """Pitches of a chord, each as near as it can be to where the last chord of the part lay."""
        last = self.voicing.get(channel)
        middle = centre if last is None else round(0.5 * centre + 0.5 * sum(last) / len(last))
        classes = [(chord[1] + tone) % 12 for tone in QUALITIES[chord[2]][1]]
        pitches = sorted(middle - 6 + (pitch_class - middle + 6) % 12 for pitch_class in classes)
        self.voicing[channel] = pitches
        return pitches

    def drums(self, bar: int, lines: Mapping[str, str], only_from: int = 0) -> None:
        """Play drum lines in a bar."""
        for name, steps in lines.items():
            for at, sign in enumerate(steps):
                if sign in _LOUD and at >= only_from:
                    self.add(bar, at, 0.9, DRUMS[name], _LOUD[sign], _DRUM_CHANNEL, 0)

    def line(self, bar: int, line: Line, channel: int, program: int) -> None:
        """Play a part's line in a bar."""
        steps = line.steps[bar % len(line.steps)]
        for at, sign in enumerate(steps):
            if sign in ".-":
                continue
            held = 1
            while at + held < _STEPS and steps[at + held] == "-":
                held += 1
            loud = line.velocity + (10 if at % 4 == 0 or sign.isupper() else 0)
            changes = [4 * chord[0] for chord in self.bars[bar] if at < 4 * chord[0] < at + held]
            for begin, end in pairwise((at, *changes, at + held)):
                length = end - begin - 0.15 if held > 1 else line.short
                self.strike(bar, begin, length, sign.lower(), loud, line, channel, program)

    def pitches(self, sign: str, line: Line, channel: int, bar: int, at: int, chord: Chord) -> list[int]:
        """What a sign of a line means over a chord."""
        low = line.centre - 6
        root = low + (chord[1] - low) % 12
        if sign == "x":
            return self.voiced(channel, chord, line.centre)
        fifth = root + (6 if 6 in QUALITIES[chord[2]][1] else 7)
        if sign == "p":  # power chord
            return [root, fifth, root + 12]
        if sign.isdigit():
            tones = self.voiced(channel, chord, line.centre)
            return [tones[int(sign) % len(tones)] + 12 * (int(sign) // len(tones))]
        if sign == "a":  # half a step below what comes next
            following = self.bars[min(bar + (at >= 12), len(self.bars) - 1)]
            target = following[0][1] if at >= 12 else chord[1]
            return [low + (target - low) % 12 - 1]
        return [{"r": root, "f": fifth, "o": root + 12, "u": root - 12}[sign]]


def _entrances(groove: Groove, rng: np.random.Generator) -> dict[int, int]:
    """The bar in which each player enters (0 is the drums); one who plays chords in every bar begins."""
    players = [k for k in range(len(groove.parts) + 1) if k or groove.drums]
    order = [players[k] for k in rng.permutation(len(players))]
    enters = {number: 2 * max(0, place - 1) if place < 3 else 4 for place, number in enumerate(order)}
    chords = [k for k in order if k and all("x" in steps for steps in groove.parts[k - 1].steps)]
    enters[chords[0]] = 0
    return enters


def _plays(number: int, bar: int, bars: int, enters: Mapping[int, int], groove: Groove) -> bool:
    """Whether part `number` (0 is the drums) plays in a bar."""
    if bars >= 16 and bar < enters[number]:
        return False
    first = bars // 2 // 4 * 4
    in_break = groove.breakdown and bars >= 24 and first <= bar < first + 4
    return not (in_break and number < 2)


def perform(style: str, groove: str, bars: Sequence[Sequence[Chord]], bpm: float, rng: np.random.Generator) -> Midi:
    """Let a band play.

    Parameters
    ----------
    style, groove : str
        Of :data:`GROOVES`.
    bars : sequence
        Of each bar of four beats the chords as (beat it starts on, 0-3; root pitch class; key of ``QUALITIES``).
    bpm : float
        Tempo, beats a minute, > 0.
    rng : Generator
        Chooses sounds, variants and fills.

    Returns
    -------
    Midi
        Times in seconds from the first beat; the last bar is one chord.

    Raises
    ------
    KeyError
        If there is no such style or groove.
    """
    table = TABLE[style].grooves[groove]
    song = _Song(table, bars, bpm, rng)
    channels = [c for c in range(16) if c != _DRUM_CHANNEL]
    programs = [song.enter(channels[k], line) for k, line in enumerate(table.parts)]
    song.events.append(Event(0.0, 0xB0, _DRUM_CHANNEL, 91, table.drum_reverb))
    enters = _entrances(table, rng)
    drums = [dict(lines) for lines in table.drums]
    fill = _FILLS[int(rng.integers(len(_FILLS)))]
    every = int(rng.choice([4, 8]))
    for bar in range(len(bars) - 1):
        if drums and _plays(0, bar, len(bars), enters, table):
            filled = (bar + 1) % every == 0 and table.fills
            for name, steps in drums[bar % len(drums)].items():
                song.drums(bar, {name: steps[:8] + "." * 8 if filled and name in ("snare", "kick", "clap") else steps})
            if filled:
                song.drums(bar, fill, 8)
            if bar % every == 0 and bar and table.fills:
                song.drums(bar, {"crash": "x" + "." * 15})
        for number, line in enumerate(table.parts):
            if _plays(number + 1, bar, len(bars), enters, table):
                song.line(bar, line, channels[number], programs[number])
    last = len(bars) - 1
    if drums and table.fills:
        song.drums(last, {"kick": "X" + "." * 15, "crash": "X" + "." * 15})
    for number, line in enumerate(table.parts):
        sign = next((c for steps in line.steps for c in steps.lower() if c in "xpr"), "x")
        song.strike(last, 0, 14, sign, line.velocity, line, channels[number], programs[number])
    song.notes.sort(key=lambda n: (n.start, n.channel, n.pitch))
    return Midi(tuple(song.notes), tuple(song.events), ((0.0, 0.0, 60.0 / bpm),))
