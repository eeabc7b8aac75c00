"""Bands by patterns play the chords they are given, whole and at once, inside the song, alike for equal generators."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from jackdaw.engine.training._mma import Midi, Note
from jackdaw.engine.training._patterns import GROOVES, TEMPOS, perform
from jackdaw.engine.training._progressions import QUALITIES

Chord = tuple[int, int, str]

CASES = [(style, groove) for style, grooves in GROOVES.items() for groove in grooves]
BARS = 24
DRUMS = 9
LATEST = 0.014  # seconds a loose player may be late


def song(seed: int) -> list[list[Chord]]:
    """Bars of random chords of every type, two chords in one of three bars."""
    rng = np.random.default_rng(seed)
    kinds = list(QUALITIES)

    def chord(beat: int) -> Chord:
        return beat, int(rng.integers(12)), kinds[int(rng.integers(len(kinds)))]

    return [[chord(0), chord(2)] if bar % 3 == 1 else [chord(0)] for bar in range(BARS)]


def tempo(style: str) -> float:
    low, high = TEMPOS[style]
    return float(low + high) / 2


def play(style: str, groove: str, seed: int = 1) -> Midi:
    return perform(style, groove, song(seed), tempo(style), np.random.default_rng(seed))


def allowed(chord: Chord) -> set[int]:
    """Pitch classes of a chord."""
    return {(chord[1] + tone) % 12 for tone in QUALITIES[chord[2]][1]}


def stretches(bars: list[list[Chord]], style: str) -> list[tuple[float, float, Chord]]:
    """Start and end of each chord in seconds."""
    beat, changes = 60.0 / tempo(style), [(4 * bar + chord[0], chord) for bar, row in enumerate(bars) for chord in row]
    ends = [place for place, _ in changes[1:]] + [4 * len(bars)]
    return [(place * beat, end * beat, chord) for (place, chord), end in zip(changes, ends, strict=True)]


def sounding(midi: Midi, start: float, end: float) -> list[Note]:
    """Notes, drums aside, that sound in a stretch for more than the moment by which swing may displace them."""
    return [n for n in midi.notes if n.channel != DRUMS and n.start < end - 0.04 and n.end > start + 0.04]


def test_eight_styles_have_four_grooves_each() -> None:
    assert set(GROOVES) == set(TEMPOS) == {
        "house", "techno", "drum and bass", "hip hop", "funk", "reggae", "ambient", "metal",
    }  # fmt: skip
    assert all(len(set(grooves)) == 4 for grooves in GROOVES.values())
    assert all(60 <= low < high <= 176 for low, high in TEMPOS.values())


@pytest.mark.parametrize(("style", "groove"), CASES)
def test_notes_on_strong_beats_belong_to_the_chord(style: str, groove: str) -> None:
    """Strong beats are the first and the third: on the fourth a bass may lead into the next bar by half a step."""
    for seed in (1, 2, 3):
        bars, beat = song(seed), 60.0 / tempo(style)
        heard = 0
        for note in play(style, groove, seed).notes:
            at = 2 * round(note.start / beat / 2)
            if note.channel == DRUMS or not -1e-6 < note.start - at * beat < LATEST + 1e-6:
                continue
            bar, place = divmod(at, 4)
            chord = [c for c in bars[bar] if c[0] <= place][-1]
            assert note.pitch % 12 in allowed(chord), f"{note} over {chord} in bar {bar}, beat {place}"
            heard += 1
        assert heard > BARS


@pytest.mark.parametrize(("style", "groove"), CASES)
def test_what_sounds_is_the_labelled_chord(style: str, groove: str) -> None:
    """Also when it changes within a bar and a note is being held; only a bass may lead into the next bar."""
    for seed in (1, 2, 3):
        midi, spans = play(style, groove, seed), stretches(song(seed), style)
        beat = 60.0 / tempo(style)
        for (start, end, chord), (_, _, following) in zip(spans, [*spans[1:], spans[-1]], strict=True):
            for note in sounding(midi, start, end):
                leads = note.start > end - 1.3 * beat and (note.pitch + 1 - following[1]) % 12 == 0
                assert leads or note.pitch % 12 in allowed(chord), f"{note} sounds over {chord}"


@pytest.mark.parametrize(("style", "groove"), CASES)
def test_every_chord_is_heard_whole_from_the_first_bar_on(style: str, groove: str) -> None:
    for seed in range(1, 9):
        midi = play(style, groove, seed)
        for start, end, chord in stretches(song(seed), style):
            classes = {note.pitch % 12 for note in sounding(midi, start, end)}
            triad = {(chord[1] + tone) % 12 for tone in QUALITIES[chord[2]][1][:3]}
            assert triad <= classes, f"of {chord}, {start:.2f}-{end:.2f} s, only {classes} are heard"


def test_power_chords_have_the_fifth_of_their_chord() -> None:
    for groove in GROOVES["metal"]:
        for kind, fifth in (("m7b5", 6), ("dim7", 6), ("m", 7), ("sus4", 7), ("9", 7)):
            midi = perform("metal", groove, [[(0, 2, kind)]] * 8, 140.0, np.random.default_rng(0))
            for channel in guitars(midi):
                assert {(n.pitch - 2) % 12 for n in midi.notes if n.channel == channel} == {0, fifth}


def guitars(midi: Midi) -> list[int]:
    """Channels of the guitars on the far left and right."""
    return sorted({e.channel for e in midi.events if e.kind == 0xB0 and e.a == 10 and e.b in (14, 114)})


@pytest.mark.parametrize("groove", GROOVES["metal"])
def test_two_guitars_play_the_same_but_never_at_one_instant(groove: str) -> None:
    midi = perform("metal", groove, song(1)[:12], tempo("metal"), np.random.default_rng(0))
    left, right = ([n for n in midi.notes if n.channel == channel] for channel in guitars(midi))
    assert sorted((n.pitch, round(n.end, 6)) for n in left) == sorted((n.pitch, round(n.end, 6)) for n in right)
    assert not {n.start for n in left} & {n.start for n in right}
    left, right = (sorted(notes, key=lambda n: (round(n.end, 6), n.pitch)) for notes in (left, right))
    apart = [abs(a.start - b.start) for a, b in zip(left, right, strict=True)]
    assert max(apart) <= LATEST
    assert np.mean(apart) > 0.003


@pytest.mark.parametrize("groove", GROOVES["house"])
def test_house_strikes_three_chords_in_every_bar(groove: str) -> None:
    bars, bar = song(1)[:12], 240 / tempo("house")
    midi = perform("house", groove, bars, tempo("house"), np.random.default_rng(0))
    struck = Counter(int(start / bar + 1e-6) for start in {n.start for n in midi.notes if n.channel == 1})
    assert min(struck[number] for number in range(len(bars) - 1)) >= 3


@pytest.mark.parametrize(("style", "groove"), CASES)
def test_notes_stay_in_the_songs_time_and_ranges(style: str, groove: str) -> None:
    midi = play(style, groove)
    end = midi.seconds(4 * BARS)
    assert end == pytest.approx(4 * BARS * 60 / tempo(style))
    for note in midi.notes:
        assert 0 <= note.start < note.end <= end + 1e-6
        assert 24 <= note.pitch <= 108
        assert 1 <= note.velocity <= 127
        assert 0 <= note.channel < 16
    assert any(note.start == pytest.approx(end - 240 / tempo(style)) for note in midi.notes), "the last bar is silent"


@pytest.mark.parametrize(("style", "groove"), CASES)
def test_no_key_is_struck_while_it_is_down(style: str, groove: str) -> None:
    down: dict[tuple[int, int], float] = {}
    for note in play(style, groove).notes:
        if note.channel != DRUMS:
            assert note.start >= down.get((note.channel, note.pitch), 0.0) - 1e-6, note
            down[note.channel, note.pitch] = note.end


@pytest.mark.parametrize(("style", "groove"), CASES)
def test_every_part_has_one_sound_and_its_place(style: str, groove: str) -> None:
    midi = play(style, groove)
    pans = set()
    for channel in {note.channel for note in midi.notes} - {DRUMS}:
        events = [e for e in midi.events if e.channel == channel]
        assert all(e.time == 0.0 for e in events)
        assert {e.a for e in events if e.kind == 0xC0} == {n.program for n in midi.notes if n.channel == channel}
        controls = {e.a: e.b for e in events if e.kind == 0xB0}
        assert {7, 10, 91} <= set(controls)
        pans.add(controls[10])
    assert len(pans) > 1, "all parts stand in the middle"


@pytest.mark.parametrize(("style", "groove"), CASES)
def test_equal_generators_give_equal_songs_and_others_vary(style: str, groove: str) -> None:
    def with_generator(seed: int) -> Midi:
        return perform(style, groove, song(1), tempo(style), np.random.default_rng(seed))

    assert with_generator(5) == with_generator(5)
    assert with_generator(5) != with_generator(6)


def test_styles_and_grooves_differ() -> None:
    seen: Counter[tuple[tuple[float, bool, int], ...]] = Counter()
    for style, groove in CASES:
        midi = perform(style, groove, song(1), 120.0, np.random.default_rng(5))
        seen[tuple((round(n.start, 4), n.channel == DRUMS, n.pitch % 12) for n in midi.notes)] += 1
    assert max(seen.values()) == 1


def test_drums_are_where_the_style_has_them() -> None:
    for style, groove in CASES:
        struck = sum(note.channel == DRUMS for note in play(style, groove).notes) / BARS
        assert (struck < 7) if style == "ambient" else (struck > 7), f"{style} {groove}: {struck:.1f} strokes a bar"
    assert not any(note.channel == DRUMS for note in play("ambient", "drift").notes)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(KeyError):
        perform("polka", "deep", song(1), 120.0, np.random.default_rng(0))
    with pytest.raises(KeyError):
        perform("house", "gallop", song(1), 120.0, np.random.default_rng(0))
