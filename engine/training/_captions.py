"""English captions for a song of the corpus, from what is known about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from ._mma import Note
from ._styles import GROUPS, Style

__all__ = ["captions", "instruments"]

# Names of the General MIDI programs as a musician would say them, by program number.
_EXACT = {
    0: "piano", 1: "piano", 2: "electric grand piano", 3: "honky-tonk piano", 4: "electric piano", 5: "electric piano",
    6: "harpsichord", 7: "clavinet", 8: "celesta", 9: "glockenspiel", 10: "music box", 11: "vibraphone",
    12: "marimba", 13: "xylophone", 14: "tubular bells", 15: "dulcimer", 21: "accordion", 22: "harmonica",
    23: "bandoneon", 24: "nylon guitar", 25: "acoustic guitar", 26: "jazz guitar", 27: "electric guitar",
    28: "muted guitar", 29: "overdriven guitar", 30: "distorted guitar", 31: "guitar", 32: "upright bass",
    33: "electric bass", 34: "electric bass", 35: "fretless bass", 36: "slap bass", 37: "slap bass",
    38: "synth bass", 39: "synth bass", 40: "violin", 41: "viola", 42: "cello", 43: "double bass",
    45: "pizzicato strings",
    46: "harp", 47: "timpani", 52: "choir", 53: "choir", 54: "choir", 55: "orchestra hit", 56: "trumpet",
    57: "trombone", 58: "tuba", 59: "muted trumpet", 60: "french horn", 61: "brass", 62: "synth brass",
    63: "synth brass", 64: "soprano saxophone", 65: "alto saxophone", 66: "tenor saxophone", 67: "baritone saxophone",
    68: "oboe", 69: "english horn", 70: "bassoon", 71: "clarinet", 72: "piccolo", 73: "flute", 75: "pan flute",
    78: "whistle", 79: "ocarina", 104: "sitar", 105: "banjo", 107: "koto", 109: "bagpipe", 110: "fiddle",
    114: "steel drums",
}  # fmt: skip
_FAMILIES = ("piano", "bells", "organ", "guitar", "bass", "strings", "strings", "brass", "saxophone", "flute",
             "synth lead", "synth pad", "synth effects", "folk lute", "percussion", "effects")  # fmt: skip


def instruments(notes: Iterable[Note]) -> list[str]:
    """Names of the instruments heard, by how much they play; "drums" for the drum channel.

    Parameters
    ----------
    notes : iterable of Note
        The song.
    """
    weight: Counter[str] = Counter()
    for note in notes:
        if note.channel == 9:
            weight["drums"] += 0.15 * note.velocity  # type: ignore[assignment]  # weights are real
        else:
            name = _EXACT.get(note.program, _FAMILIES[note.program // 8])
            weight[name] += note.velocity * min(2.0, note.end - note.start)  # type: ignore[assignment]
    return [name for name, _ in weight.most_common()]


def _tempo_word(bpm: float, rng: np.random.Generator) -> str:
    if bpm < 72:
        return str(rng.choice(["very slow", "slow"]))
    if bpm < 96:
        return str(rng.choice(["slow", "laid-back"]))
    if bpm < 124:
        return str(rng.choice(["medium", "mid-tempo", "moderate"]))
    if bpm < 150:
        return str(rng.choice(["upbeat", "lively"]))
    return str(rng.choice(["fast", "very lively"]))


def captions(
    style: Style, mode: str, bpm: float, heard: list[str], rng: np.random.Generator, version: str = "full"
) -> list[str]:
    """Five to eight phrases, short to long, the first being the bare style name.

    Parameters
    ----------
    style : Style
        Names of the style.
    mode : str
        "major" or "minor".
    bpm : float
        Felt tempo.
    heard : list of str
        As :func:`instruments` returns them.
    rng : Generator
        Chooses words.
    version : str
        "full", "duo" or "solo".
    """
    group = GROUPS[style.group]
    family, tempo = style.family, _tempo_word(bpm, rng)
    other = str(rng.choice(group.names))
    moods = [str(m) for m in rng.permutation(group.moods)]

    def mood(text: str) -> str:
        """The next mood that does not repeat a word of the text ("bluesy blues", "slow slow song")."""
        word = next((m for m in moods if m[:4] not in text), moods[0])
        moods.remove(word)
        moods.append(word)
        return f"{word} {text}"

    key = "in a minor key" if mode == "minor" else "in a major key"
    players = [h for h in heard if h != "drums"]
    lead = players[0] if players else "drums"
    pair = " and ".join(players[:2]) if len(players) > 1 else lead
    rest = [*players[:3], "drums"] if "drums" in heard else players[:3]
    band = ", ".join(rest[:-1]) + f" and {rest[-1]}" if len(rest) > 1 else rest[0]
    tempo_first = family if tempo.split()[-1] in family else f"{tempo} {family}"
    lead_first = family if lead in family or family.split()[0] in lead else f"{lead} {family}"
    phrases = [
        family,
        tempo_first,
        mood(family),
        f"{family} with {pair}",
        lead_first,
        mood(other),
        f"{family} {key}, {bpm:.0f} bpm",
        f"{mood(other)} with {band}" + ("" if tempo.split()[-1] in other else f", {tempo}"),
    ]
    if version != "full":
        phrases[3:5] = [f"{version} {pair}, {family}" if version == "duo" else f"solo {lead}, {family}", lead_first]
    return list(dict.fromkeys(phrases))
