"""Patterns of eight styles, sixteen steps a bar of four beats.

Drum lines: ``X`` accent, ``x`` stroke, ``o`` ghost note. Lines of parts: ``x`` the chord, ``p`` a power chord, ``r``
root, ``f`` fifth, ``o`` octave, ``u`` octave below, ``a`` half a step below what comes next, ``0``-``9`` tones of the
chord from below, ``-`` goes on, ``.`` rests; upper case is louder. A part with several lines plays them bar by bar.
Every groove has a part with ``x`` in each of its lines, so that the whole chord is heard in every bar.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["DRUMS", "TABLE", "Groove", "Line", "Table"]

DRUMS: Mapping[str, int] = {
    "kick": 36, "rim": 37, "snare": 38, "clap": 39, "hat": 42, "pedal": 44, "open": 46, "low tom": 41, "tom": 45,
    "high tom": 48, "crash": 49, "ride": 51, "tambourine": 54, "cowbell": 56, "conga": 63, "low conga": 64,
    "shaker": 70,
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A part: its lines, the programs it may have, and where it stands in pitch and in the room.

    ``loose``: seconds by which its strokes may come late, each by its own; two players of one line need it.
    """

    steps: tuple[str, ...]
    programs: tuple[int, ...]
    centre: int
    velocity: int = 84
    volume: int = 96
    pan: int = 64
    reverb: int = 30
    short: float = 0.8
    loose: float = 0.0


@dataclass(frozen=True)
class Groove:
    """A groove: bars of drum lines, and parts, the bass first."""

    drums: tuple[Mapping[str, str], ...]
    parts: tuple[Line, ...]
    swing: float = 0.0
    breakdown: bool = False
    fills: bool = True
    drum_reverb: int = 20


@dataclass(frozen=True)
class Table:
    """A style: its tempo range and its grooves."""

    tempo: tuple[float, float]
    grooves: Mapping[str, Groove]


_SYNTH_BASS, _PADS, _LEADS, _KEYS = (38, 39), (88, 89, 90, 91, 94, 95), (80, 81, 87), (4, 5, 16)
_FLOOR = {"kick": "X...X...X...X..."}


def _bass(*steps: str, programs: tuple[int, ...] = _SYNTH_BASS, short: float = 0.9, velocity: int = 96) -> Line:
    return Line(steps, programs, 36, velocity, 108, 64, 8, short)


def _chords(*steps: str, programs: tuple[int, ...], pan: int = 44, centre: int = 60, short: float = 0.9,
            velocity: int = 76, reverb: int = 40) -> Line:  # fmt: skip
    return Line(steps, programs, centre, velocity, 90, pan, reverb, short)


def _lead(*steps: str, programs: tuple[int, ...], pan: int = 86, centre: int = 72, short: float = 0.8) -> Line:
    return Line(steps, programs, centre, 74, 82, pan, 50, short)


_PAD = _chords("x---------------", programs=_PADS, pan=64, velocity=62, reverb=80)

_HOUSE = Table((118, 128), {
    "deep": Groove(({**_FLOOR, "clap": "....x.......x...", "open": "..x...x...x...x.", "hat": "o.o.o.o.o.o.o.oo"},), (
        _bass("r..r..r...r..o..", "r..r..r...f.o..."),
        _chords("...x..x...x.....", "...x..x....x..x.", programs=(4, 5, 16, 17)), _PAD), breakdown=True),
    "piano": Groove(({**_FLOOR, "clap": "....X.......X...", "open": "..x...x...x...x.",
                       "shaker": "xoxoxoxoxoxoxoxo"},), (
        _bass("..r...r...r...r.", "..r...r...r.r.o."),
        _chords("x..x..x.x..x..x.", "x..x..x...x.x...", programs=(0, 1, 2)),
        _lead("........2---1---", "3-------........", programs=(48, 50, 81))), breakdown=True),
    "organ": Groove(({**_FLOOR, "snare": "....x.......x..o", "open": "..x...x...x...x."},), (
        _bass("r.r..r..r.r..o..", "r.r..r..r..r.f.."),
        _chords("..x..x....x..x..", programs=(16, 17, 18)),
        _lead("0.1.2.1.0.1.2.3.", programs=(80, 81, 87))), breakdown=True),
    "tribal": Groove(({**_FLOOR, "clap": "....x.......x...", "conga": "x..x..x.x..x.x..",
                       "low conga": "..x...x....x..x.", "open": "..x...x...x...x."},), (
        _bass("r.....r.r.....o.", "r.....r.r...f.o."),
        _chords("..x.x-....x.x-..", "x..x..x-..x.x-..", programs=(50, 51, 61)),
        _lead("2..1..0.........", programs=(11, 12, 73))), breakdown=True),
})  # fmt: skip

_TECHNO = Table((126, 138), {
    "rolling": Groove(({**_FLOOR, "hat": "..x...x...x...x.", "clap": "....x.......x...",
                         "ride": "x.x.x.x.x.x.x.x."},), (
        _bass(".rrr.rrr.rrr.rrr", short=0.7), _chords("......x.......x.", "......x....x....", programs=(50, 81, 90)),
        _lead("0..0..1..0..2...", programs=(80, 81, 87))), breakdown=True),
    "acid": Groove(({**_FLOOR, "open": "..x...x...x...x.", "snare": "............x..."},), (
        _bass("r.ro.r.rf.r.or.r", "r.rr.o.rf.r.ro.o", programs=(38, 81), short=0.6),
        _chords("x.......x.......", programs=(50, 90, 94), short=3.0)), breakdown=True),
    "dub": Groove(({**_FLOOR, "hat": "xoxoxoxoxoxoxoxo", "rim": "......x..x......"},), (
        _bass("r.....r.....r...", programs=(38, 39, 33)),
        _chords("..x.......x.....", "..x..x....x.....", programs=(50, 51, 4), reverb=100), _PAD), breakdown=True),
    "peak": Groove(({**_FLOOR, "open": "..X...X...X...X.", "clap": "....X.......X...", "hat": "xxxxxxxxxxxxxxxx"},), (
        _bass("..rr..rr..rr..rr", short=0.7), _chords("x..x..x..x..x.x.", programs=(81, 90, 62)),
        _lead("0.2.1.2.0.2.1.3.", programs=(80, 81))), breakdown=True),
})  # fmt: skip

_DRUM_AND_BASS = Table((168, 176), {
    "two-step": Groove(({"kick": "X.........X.....", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},), (
        _bass("r-------....r---", "r-----f---r-----", velocity=104), _PAD,
        _lead("2---....1---....", "0-----------....", programs=(4, 11, 73))), breakdown=True),
    "break": Groove(({"kick": "X.X.......XX....", "snare": "....X..o.o..X..o", "ride": "x.x.x.x.x.x.x.x."},
                     {"kick": "X.X.......X.....", "snare": "....X..o.o....X.", "ride": "x.x.x.x.x.x.x.x."}), (
        _bass("r--.r--.f---r---", "r--.r--.o---a---"),
        _chords("x-----------....", programs=(4, 5, 89))), breakdown=True),
    "liquid": Groove(({"kick": "X.....X...X.....", "snare": "....X.......X...", "hat": "xoxoxoxoxoxoxoxo",
                       "shaker": "x.x.x.x.x.x.x.x."},), (
        _bass("r-----r-------f-", "r-----r---o-----"),
        _chords("x---..x---......", "x---..x-....x-..", programs=(0, 4, 5)), _PAD), breakdown=True),
    "steppers": Groove(({"kick": "X.......X.......", "snare": "....X.......X...", "open": "..x...x...x...x.",
                         "hat": "x.xxx.xxx.xxx.xx"},), (
        _bass("r.r.r.r.r.r.r.r.", "r.r.r.r.f.f.o.o.", short=1.5),
        _lead("0.1.2.3.2.1.0...", programs=(80, 81, 87)), _PAD), breakdown=True),
})  # fmt: skip

_HIP_HOP = Table((82, 98), {
    "boom bap": Groove(({"kick": "X......x..X.....", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
                        {"kick": "X......x..X..x..", "snare": "....X.......X..o", "hat": "x.x.x.xxx.x.x.x."}), (
        _bass("r-----..r--.f---", "r-----..r-----a-", programs=(32, 33, 35)),
        _chords("x---....x-..x---", "x---......x-....", programs=(4, 5, 0))), swing=0.3),
    "jazzy": Groove(({"kick": "X..x....x.X.....", "snare": "....X..o....X...", "ride": "x...x.x.x...x.x."},), (
        _bass("r---f---o---f---", "r---f---r---a---", programs=(32, 35)),
        _chords("..x-......x-....", "x-....x-..x-....", programs=(4, 26, 11)),
        _lead("........2-1-0---", "................", programs=(59, 66, 73, 11))), swing=0.36),
    "trap": Groove(({"kick": "X.....X...X.....", "clap": "........X.......", "hat": "x.x.x.x.x.xxx.x."},
                    {"kick": "X.........X..X..", "clap": "........X.......", "hat": "x.x.xxx.x.x.xxxx"}), (
        _bass("r-----r---r-----", "r---------f-----", programs=(38, 39)),
        _lead("0.1.2.1.0.1.3.2.", "0.1.2.1.0...2...", programs=(10, 8, 14, 11)), _PAD)),
    "funky": Groove(({"kick": "X.x....x.xX.....", "snare": "....X..o.o..X..o", "hat": "xxx.xxx.xxx.xxx."},), (
        _bass("r..r..o.r..f..a.", programs=(33, 34)), _chords("....x..x....x...", programs=(7, 27, 28), short=0.6)),
        swing=0.2),
})  # fmt: skip

_FUNK = Table((96, 116), {
    "on the one": Groove(({"kick": "X..x..X...x..x..", "snare": "....X..o.o..X..o", "hat": "xxxxxxxxxxxxxxxx"},), (
        _bass("R.r..or.r.f.o.a.", "R..r..o.R.r.f.o.", programs=(33, 34, 36, 37), short=0.7),
        _chords("..x.x..x..x.x...", programs=(27, 28), pan=30, short=0.5),
        _chords("x.......x..x....", programs=(61, 62), pan=94, short=0.7))),
    "clavinet": Groove(({"kick": "X......xX.......", "snare": "....X.......X...", "hat": "x.xxx.xxx.xxx.xx",
                         "tambourine": "....x.......x..."},), (
        _bass("R..r..r.R.o..f..", programs=(33, 36), short=0.8),
        _chords("x.xx.x.xx.xx.x..", programs=(7,), pan=36, short=0.5), _PAD)),
    "horns": Groove(({"kick": "X.x.....X..x....", "snare": "....X..o....X.o.", "hat": "x.x.x.x.x.x.x.x.",
                      "open": "..............x."},), (
        _bass("R.rr..f.R...oof.", programs=(33, 34, 36), short=0.6),
        _chords("..xx..x...xx..x.", programs=(27, 28, 4), pan=34, short=0.5),
        _chords("................", "X..X..X.....X---", programs=(61, 65), pan=92, centre=66, short=0.9))),
    "slow burn": Groove(({"kick": "X.....x.X.x.....", "snare": "....X.......X..o", "hat": "x.x.x.x.x.x.x.x.",
                          "cowbell": "x...x...x...x..."},), (
        _bass("R---..r.f---o.a.", programs=(33, 35, 37)), _chords("....x-......x-..", programs=(16, 18, 4), pan=40),
        _chords(".x.x...x.x.x...x", programs=(28,), pan=92, short=0.4)), swing=0.15),
})  # fmt: skip

_REGGAE = Table((68, 82), {
    "one drop": Groove(({"kick": "........X.......", "rim": "........X.......", "hat": "x.x.x.x.x.x.x.x."},), (
        _bass("r---..r-f---o-..", "r---..r-f-r-....", programs=(33, 32)),
        _chords("....x.......x...", programs=(27, 28, 26), pan=32, short=0.7),
        _chords("..x.x.x...x.x.x.", programs=(16, 17), pan=90, short=0.7, velocity=66)), swing=0.12),
    "rockers": Groove(({"kick": "X.......X.......", "rim": "........X.......", "hat": "x.xxx.xxx.xxx.xx"},), (
        _bass("r-r-..f-o---f-..", "r-r-..f-r-----..", programs=(33,)),
        _chords("....x.......x...", programs=(27, 28), pan=34, short=0.6),
        _lead("0-..1-..2---....", "................", programs=(22, 65, 56))), swing=0.1),
    "steppers": Groove(({"kick": "X...X...X...X...", "rim": "........X.......", "hat": "..x...x...x...x."},), (
        _bass("r---r-f-..f-r---", "r---r-o-..f-r---", programs=(33, 38)),
        _chords("..x...x...x...x.", programs=(0, 16), pan=40, short=0.8), _PAD)),
    "lovers": Groove(({"kick": "....X.......X...", "rim": "....X.......X...", "hat": "x.x.x.x.x.x.x.x.",
                       "conga": "..x..x....x..xx."},), (
        _bass("r-----f-o-----f-", "r-----f-r---a---", programs=(33, 35)),
        _chords("..x...x...x...x.", programs=(27, 4), pan=36, short=0.7), _PAD), swing=0.15),
})  # fmt: skip

_AMBIENT = Table((60, 80), {
    "drift": Groove((), (
        _bass("r---------------", programs=(39, 89, 95), velocity=66), _PAD,
        _lead("0-----2-----1---", "3-------2-------", programs=(10, 11, 98, 14), centre=79)), fills=False),
    "bells": Groove((), (
        _chords("x---------------", programs=(89, 91, 95), velocity=60, reverb=100),
        _lead("0...2...1...3...", "2...0...3...1...", programs=(8, 10, 11, 14), centre=79),
        _lead("......4.......2.", programs=(98, 100, 12), pan=40, centre=84)), fills=False),
    "strings": Groove((), (
        _bass("r---------------", programs=(42, 43, 89), velocity=60),
        _chords("x---------------", programs=(48, 49, 50, 52), velocity=58, reverb=100),
        _lead("................", "1---------------", "................", "2-------1-------",
              programs=(73, 75, 40, 79))), fills=False),
    "pulse": Groove(({"kick": "o.......o.......", "shaker": "..o...o...o...o."},), (
        _bass("r---....r---....", programs=(38, 39), velocity=70), _PAD,
        _lead("0.1.2.3.4.3.2.1.", programs=(4, 10, 80, 12), centre=74)), fills=False),
})  # fmt: skip


def _guitars(*steps: str, short: float = 0.8) -> tuple[Line, ...]:
    """Two distorted guitars, left and right, who play the same but never at the same instant."""
    return tuple(Line(steps, (30, 29), 43, 92, 92, pan, 20, short, loose=0.014) for pan in (14, 114))


def _triads(*steps: str, programs: tuple[int, ...]) -> Line:
    """Whole chords above the guitars, which have no thirds."""
    return _chords(*steps, programs=programs, pan=64, centre=62, velocity=94)


_METAL = Table((110, 170), {
    "gallop": Groove(({"kick": "X.xxX.xxX.xxX.xx", "snare": "....X.......X...", "hat": "x...x...x...x..."},), (
        _bass("r.rrr.rrr.rrr.rr", programs=(33, 34)), *_guitars("p.ppp.ppp.ppp.pp"),
        _lead("........0-1-2---", "3---2---1---0---", programs=(29, 30)),
        _triads("x-------x-------", programs=(48, 50, 52)))),
    "thrash": Groove(({"kick": "X.X.X.X.X.X.X.X.", "snare": "..X...X...X...X.", "ride": "x.x.x.x.x.x.x.x."},), (
        _bass("r.r.r.r.r.r.r.r.", programs=(33, 34)), *_guitars("ppp.ppp.ppp.pp..", "ppp.ppp.p-p-p-p-", short=0.6),
        _triads("x-----x-x-----x-", "x-----x-x-x-x-x-", programs=(29, 30)))),
    "heavy": Groove(({"kick": "X.......X.X.....", "snare": "....X.......X...", "open": "x...x...x...x..."},), (
        _bass("r-----r-r---r-f-", programs=(33, 34)), *_guitars("p-----p-p---p-p-", "p-------p-----p-"),
        _lead("2---1---0-------", "................", programs=(29, 30)),
        _triads("x-------x-------", programs=(16, 18)))),
    "double kick": Groove(({"kick": "xxxxxxxxxxxxxxxx", "snare": "....X.......X...", "crash": "x.......x......."},), (
        _bass("r-r-r-r-r-r-r-r-", programs=(33, 34)), *_guitars("p---p---p---p---", "p-------p-p-p-p-"),
        _triads("x---------------", programs=(48, 50, 52)))),
})  # fmt: skip

TABLE: Mapping[str, Table] = {
    "house": _HOUSE,
    "techno": _TECHNO,
    "drum and bass": _DRUM_AND_BASS,
    "hip hop": _HIP_HOP,
    "funk": _FUNK,
    "reggae": _REGGAE,
    "ambient": _AMBIENT,
    "metal": _METAL,
}
