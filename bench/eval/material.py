"""Material: the corpus' songs with their labels, and what is asked of the model that it never trained on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["SYNONYMS", "Song", "read_corpus", "spread"]

SYNONYMS = {
    "brazilian": ("copacabana beach cafe", "rio lounge guitar"),
    "latin": ("havana night club", "tropical dance floor"),
    "tango": ("buenos aires milonga", "bandoneon drama"),
    "swing": ("benny goodman era dance hall", "lindy hop"),
    "jazz": ("blue note quartet", "hard bop club"),
    "blues": ("mississippi delta bar", "chicago shuffle"),
    "rock": ("guitar band in a garage", "beat group"),
    "funk": ("slap bass groove", "seventies dance floor"),
    "waltz": ("three-four ballroom", "strauss in vienna"),
    "country": ("nashville honky-tonk", "cowboy campfire"),
    "march": ("brass band on parade", "oompah"),
    "ragtime": ("scott joplin saloon piano", "new orleans stomp"),
    "ballad": ("quiet love song", "candlelight serenade"),
    "gospel": ("sunday choir", "praise and worship"),
    "caribbean": ("trinidad steel pan party", "kingston offbeat"),
    "orchestral": ("symphonic film score", "violins and horns"),
    "house": ("four on the floor", "chicago warehouse party"),
    "techno": ("detroit rave", "berlin basement at 4 am"),
    "drum and bass": ("breakbeat at 174", "amen break"),
    "hip hop": ("rap beat", "lo-fi beats to study to"),
    "reggae": ("bob marley", "dub riddim"),
    "ambient": ("music for airports", "drone meditation"),
    "metal": ("headbanging double bass drum", "distorted thrash riff"),
}
"""For each group of styles two prompts that are no captions and name no style of the training."""


@dataclass(frozen=True)
class Song:
    """A song of the corpus; its labels are read when they are first asked for.

    Parameters
    ----------
    path
        Its sound.
    name, split
        Its id; ``train``, ``valid`` or ``test``.
    held_out
        What is new in it: ``groove``, ``progression`` or nothing.
    group, family
        Its group of styles; its style in words.
    bpm, beats_per_bar
        In felt beats.
    seconds
        Length.
    """

    path: Path
    name: str
    split: str
    held_out: str
    group: str
    family: str
    bpm: float
    beats_per_bar: int
    seconds: float

    @cached_property
    def labels(self) -> dict[str, Any]:
        """All that its file says."""
        found: dict[str, Any] = json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))
        return found

    def bar_after(self, seconds: float, length: float) -> float:
        """Return the first bar line after a time, early enough for a stretch of that length."""
        able = [t for t in self.labels["downbeats"] if seconds <= t <= self.seconds - length]
        return float(able[0]) if able else max(0.0, self.seconds - length)

    def chords(self, start: float, seconds: float) -> tuple[tuple[float, float, int, str], ...]:
        """Return the chords of a stretch, in seconds from its beginning."""
        return tuple(
            (max(a - start, 0.0), min(b - start, seconds), int(root), str(quality))
            for a, b, root, quality in self.labels["chords"]
            if b > start and a < start + seconds
        )

    def notes(self, start: float, seconds: float) -> tuple[tuple[float, float, int], ...]:
        """Return the pitched notes that begin in a stretch, in seconds from its beginning."""
        return tuple(
            (round(n[0] - start, 4), round(min(n[1] - start, seconds), 4), int(n[2]))
            for n in self.labels["notes"]
            if n[3] != 9 and start <= n[0] < start + seconds
        )

    def beats(self, start: float, seconds: float) -> list[float]:
        """Return the beats of a stretch, in seconds from its beginning."""
        return [t - start for t in self.labels["beats"] if start <= t < start + seconds]


def read_corpus(folder: Path) -> list[Song]:
    """Return the songs of a corpus in order.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it holds no test songs.
    """
    manifest = folder / "manifest.jsonl"
    if not manifest.exists():
        raise FileNotFoundError(
            f"{folder} is no corpus: build one with `jackdaw train corpus --run DIR`; it is then DIR/corpus"
        )
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    names = ("id", "split", "held_out", "style_group", "family", "tempo_bpm", "beats_per_bar", "duration_s")
    songs = []
    for row in rows:
        path = folder / "songs" / f"{row['id']}.flac"
        if path.exists() and path.with_suffix(".json").exists():
            songs.append(Song(path, *(row[name] for name in names)))
    if not any(song.split == "test" for song in songs):
        raise ValueError(f"{folder} has no test songs: give it at least 11 songs (--hours 0.2)")
    return songs


def spread(songs: Sequence[Song], count: int) -> list[Song]:
    """Return `count` songs, evenly spread; all if there are fewer."""
    if len(songs) <= count:
        return list(songs)
    return [songs[i] for i in np.linspace(0, len(songs) - 1, count).round().astype(int)]
