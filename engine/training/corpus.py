"""Build the training corpus: accompaniments by MMA, sound by FluidSynth, labels from the score.

Writes ``DIR/songs/NNNNN.flac`` and ``NNNNN.json`` and one line a song to ``DIR/manifest.jsonl``. Invariants: a song
depends on (seed, index) alone; the FLAC appears whole (temporary name, then rename) and before its JSON, so a reader
who goes by the JSON files or the manifest never meets half a song; existing songs are never rewritten.

Run ``python -m jackdaw.engine.training.corpus --out DIR --hours 5 --seed 0``.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import multiprocessing
import os
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ._captions import captions, instruments
from ._mma import Midi, Note, accompany, grooves
from ._progressions import PROGRESSIONS, QUALITIES, ROOT_NAMES, Progression
from ._render import SAMPLE_RATE, SOUNDFONTS, render
from ._styles import GROUPS, STYLES, Style

__all__ = ["Plan", "build_corpus", "make_song", "plan_song"]

PEAK = 10 ** (-3 / 20)
TAIL_S = 2.5
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
        Key of the render module's table.
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


def _choose_style(seed: int, index: int) -> tuple[str, str, Style]:
    """Split, what is held out, and style of a song: groups in turn, then the files of the group in turn."""
    split = SPLITS[index % 12]
    turn = sum(SPLITS[i % 12] == split for i in range(index))
    if split != "train" and turn % 2 == 0:
        return split, "groove", _cycle([s for s in STYLES if s.held == split], turn // 2, [seed, 1])
    held = "" if split == "train" else "progression"
    visit = turn if split == "train" else turn // 2
    salt = ("train", "valid", "test").index(split)
    group = _cycle(list(GROUPS), visit, [seed, 2, salt])
    files = [s for s in STYLES if s.group == group and not s.held]
    return split, held, _cycle(files, visit // len(GROUPS), [seed, 3, salt])


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
    pools = GROUPS[style.group].pools
    able = [p for p in PROGRESSIONS if p.pool in pools]
    if held != "groove":
        able = [p for p in able if p.held == (held == "progression")]
    progression = able[int(rng.integers(len(able)))]
    bpm = round(style.bpm * float(rng.uniform(0.85, 1.15)), 1)
    tonic = int(rng.integers(12))
    seconds = float(rng.uniform(40.0, 56.0))
    bars = max(8, round(seconds * bpm / 60 / style.bpb))
    played, head, tail = _choose_grooves(style, bars, len(progression.bars), rng)

    chorus = progression.bars
    body = sum(n for _, n in played) - head - tail
    home: Bar = ((0, "") if progression.mode == "major" else (9, "m"),)
    written = [chorus[(i - head) % len(chorus)] for i in range(head)]  # the introduction leads into the first bar
    written += [chorus[i % len(chorus)] for i in range(body)]
    written += [chorus[(i - tail) % len(chorus)] for i in range(tail - 1)] + [home]
    shift = tonic if progression.mode == "major" else tonic - 9
    moved = tuple(tuple(((root + shift) % 12, kind) for root, kind in bar) for bar in written)
    soundfont = "MuseScore_General" if rng.random() < 0.2 else "FluidR3_GM"
    return Plan(index, split, held, style, tuple(played), moved, progression, tonic, bpm, soundfont, seed)


def _changes(plan: Plan) -> list[list[tuple[int, int, str]]]:
    """For each bar the chords as (MMA beat it starts on, root, type); a second chord starts on a felt beat."""
    unit, second = plan.style.unit, math.ceil(plan.style.bpb / 2) * plan.style.unit
    rows = []
    for bar in plan.bars:
        row = [(0, *bar[0])]
        if len(bar) > 1 and unit == int(unit):
            row.append((int(second), *bar[1]))
        rows.append(row)
    return rows


def _score(plan: Plan) -> str:
    """The song in MMA's language."""
    beats = int(plan.style.bar)
    lines = [f"RndSeed {plan.seed * 1_000_003 + plan.index}", f"Tempo {plan.bpm * plan.style.unit:.3f}"]
    lines += [f"Time {beats}"]
    changes, number = _changes(plan), 0
    for name, length in plan.grooves:
        lines.append(f"Groove stdlib/{plan.style.file}:{name}")
        for _ in range(length):
            cells = ["/"] * beats
            for at, root, kind in changes[number]:
                cells[at] = ROOT_NAMES[root] + kind
            number += 1
            lines.append(f"{number} {' '.join(cells)}")
    return "\n".join(lines) + "\n"


def _humanise(notes: Sequence[Note], rng: np.random.Generator) -> list[Note]:
    """Notes with a few ms (standard deviation 3, at most 9) and a few velocity steps of looseness."""
    late = np.clip(rng.normal(0, 0.003, len(notes)), -0.009, 0.009)
    harder = np.clip(rng.normal(0, 4, len(notes)), -12, 12)
    return [
        dataclasses.replace(
            n,
            start=max(0.0, n.start + float(dt)),
            end=max(0.0, n.start + float(dt)) + n.end - n.start,
            velocity=int(np.clip(n.velocity + dv, 1, 127)),
        )
        for n, dt, dv in zip(notes, late, harder, strict=True)
    ]


def _finish(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Trim the end where it has faded 60 dB below the peak, fade out 50 ms, set the peak to -3 dBFS."""
    level = np.abs(sound).max(axis=1)
    peak = float(level.max())
    if peak <= 0:
        raise RuntimeError("the synthesiser returned silence")
    last = int(np.flatnonzero(level > peak * 1e-3)[-1]) + 1
    fade = SAMPLE_RATE // 20
    sound = sound[: min(len(sound), last + fade)] * np.float32(PEAK / peak)
    sound[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)[:, None]
    return np.round(sound * 32767).astype(np.int16)


@functools.cache
def _versions() -> dict[str, str]:
    """Debian packages that make the sound, with their versions."""
    names = ["mma", "libfluidsynth3", *(package for _, package in SOUNDFONTS.values())]
    command = ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *names]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    if out.returncode != 0:
        raise RuntimeError(f"packages are missing: run `apt install {' '.join(names)}` ({out.stderr.strip()})")
    return dict(line.split() for line in out.stdout.splitlines())


def _labels(plan: Plan, midi: Midi, notes: Sequence[Note], frames: int, rng: np.random.Generator) -> dict[str, Any]:
    style = plan.style
    duration = frames / SAMPLE_RATE
    bar = style.bar
    bpm = round(60 / midi.seconds(style.unit), 3)  # MMA rounds the tempo to whole quarter notes a minute
    beats = [midi.seconds(i * style.unit) for i in range(len(plan.bars) * style.bpb)]
    beats = [t for t in beats if t < duration]
    changes = [
        (midi.seconds(number * bar + at), root, kind)
        for number, row in enumerate(_changes(plan))
        for at, root, kind in row
    ]
    stop = min(duration, midi.seconds(len(plan.bars) * bar))
    ends = [t for t, _, _ in changes[1:]] + [stop]
    chords: list[list[Any]] = []
    for (start, root, kind), end in zip(changes, ends, strict=True):
        label = QUALITIES[kind][0]
        if chords and chords[-1][2:] == [root, label]:
            chords[-1][1] = round(end, 5)
        else:
            chords.append([round(start, 5), round(end, 5), root, label])
    heard = instruments(notes)
    names = grooves(style.file)
    packages = {"mma", "libfluidsynth3", SOUNDFONTS[plan.soundfont][1]}
    return {
        "id": f"{plan.index:05d}",
        "split": plan.split,
        "held_out": plan.held,
        "style_file": style.file,
        "family": style.family,
        "style_group": style.group,
        "groove": max(plan.grooves, key=lambda g: g[1])[0],
        "grooves": [[n, bars, names[n][0]] for n, bars in plan.grooves],
        "captions": captions(style, plan.progression.mode, bpm, heard, rng),
        "instruments": heard,
        "tempo_bpm": bpm,
        "beats_per_bar": style.bpb,
        "key": f"{ROOT_NAMES[plan.tonic]} {plan.progression.mode}",
        "key_root": plan.tonic,
        "mode": plan.progression.mode,
        "progression": plan.progression.text,
        "duration_s": round(duration, 5),
        "beats": [round(t, 5) for t in beats],
        "downbeats": [round(t, 5) for t in beats[:: style.bpb]],
        "chords": chords,
        "notes": [
            [round(n.start, 4), round(n.end, 4), n.pitch, n.channel, n.program, n.velocity] for n in notes
        ],
        "soundfont": plan.soundfont,
        "seed": plan.seed,
        "index": plan.index,
        "provenance": {k: v for k, v in _versions().items() if k in packages},
    }  # fmt: skip


def make_song(plan: Plan) -> tuple[npt.NDArray[np.int16], dict[str, Any]]:
    """Compile and render a plan.

    Returns
    -------
    sound : ndarray of int16, shape (frames, 2)
        At 48 kHz, peak -3 dBFS; sample 0 is the first beat of the first bar.
    labels : dict
        As ``docs/corpus.md`` describes them.

    Raises
    ------
    FileNotFoundError
        If MMA, FluidSynth or a soundfont is missing.
    RuntimeError
        If MMA refuses the song or nothing sounds.
    """
    rng = np.random.default_rng([plan.seed, 5, plan.index])
    midi = accompany(_score(plan))
    notes = _humanise(midi.notes, rng)
    notes.sort(key=lambda n: (n.start, n.channel, n.pitch))
    seconds = max(*(n.end for n in notes), midi.seconds(len(plan.bars) * plan.style.bar)) + TAIL_S
    room, wet = float(rng.uniform(0.2, 0.6)), float(rng.uniform(0.1, 0.35))
    sound = _finish(render(notes, midi.events, seconds, plan.soundfont, room, wet))
    return sound, _labels(plan, midi, notes, len(sound), rng)


def _write_song(folder: str, seed: int, index: int) -> dict[str, Any]:
    """Make one song and put it in place, sound first; returns its labels without the notes."""
    songs = Path(folder)
    sound, labels = make_song(plan_song(seed, index))
    base = f"{index:05d}"
    part = songs / f".{base}.flac.part"
    soundfile.write(part, sound, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    os.replace(part, songs / f"{base}.flac")
    part = songs / f".{base}.json.part"
    part.write_text(json.dumps(labels, separators=(",", ":")))
    os.replace(part, songs / f"{base}.json")
    return _manifest_row(labels)


def _manifest_row(labels: dict[str, Any]) -> dict[str, Any]:
    keep = ("id", "split", "held_out", "style_file", "family", "style_group", "groove", "tempo_bpm", "beats_per_bar",
            "key", "duration_s", "soundfont", "seed")  # fmt: skip
    return {k: labels[k] for k in keep}


def _existing(songs: Path, seed: int) -> dict[int, dict[str, Any]]:
    """Finished songs by index; a foreign seed is refused."""
    found = {}
    for path in sorted(songs.glob("[0-9]*.json")):
        labels = json.loads(path.read_text())
        if labels["seed"] != seed:
            raise ValueError(f"{path} was made with seed {labels['seed']}, not {seed}: choose another --out or seed")
        if path.with_suffix(".flac").exists():
            found[int(labels["index"])] = _manifest_row(labels)
    return found


def _rows(songs: Path, seed: int, have: dict[int, dict[str, Any]], jobs: int) -> Iterator[dict[str, Any]]:
    """Manifest rows in index order without end, made by ``jobs`` processes where they do not exist yet."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        queue: deque[dict[str, Any] | Future[dict[str, Any]]] = deque()
        index = 0
        try:
            while True:
                while len(queue) < jobs:
                    queue.append(have.get(index) or pool.submit(_write_song, str(songs), seed, index))
                    index += 1
                head = queue.popleft()
                yield head if isinstance(head, dict) else head.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def build_corpus(out: Path, hours: float, seed: int = 0, jobs: int = 1) -> int:
    """Build or continue a corpus.

    Parameters
    ----------
    out : Path
        Folder; made if missing. Songs already there are kept.
    hours : float
        Music wanted, > 0; songs are made in order until there is as much.
    seed : int
        With the index it decides each song.
    jobs : int
        Processes that make songs, >= 1.

    Returns
    -------
    int
        Songs in the corpus.

    Raises
    ------
    ValueError
        If the arguments are out of range or the folder holds a corpus of another seed.
    """
    if hours <= 0 or jobs < 1:
        raise ValueError(f"hours must be > 0 and jobs >= 1, not {hours} and {jobs}")
    songs = out / "songs"
    songs.mkdir(parents=True, exist_ok=True)
    have = _existing(songs, seed)
    wanted, made, count = hours * 3600, 0.0, 0
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"),
               TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns) as bar, (out / "manifest.jsonl").open("w") as manifest:
        task = bar.add_task("songs", total=wanted)
        rows = _rows(songs, seed, have, jobs)
        try:
            for row in rows:
                manifest.write(json.dumps(row) + "\n")
                manifest.flush()
                made += row["duration_s"]
                count += 1
                bar.update(task, completed=min(made, wanted), description=f"{count} songs, {made / 60:.0f} min")
                if made >= wanted:
                    break
        finally:
            rows.close()  # type: ignore[attr-defined]  # a generator
    return count


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(prog="corpus", description="Build the training corpus.")
    parser.add_argument("--out", type=Path, required=True, help="folder to build in")
    parser.add_argument("--hours", type=float, default=5.0, help="hours of music (default 5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    given = parser.parse_args(argv)
    try:
        count = build_corpus(given.out, given.hours, given.seed, given.jobs)
    except KeyboardInterrupt:
        raise SystemExit(f"stopped; the songs in {given.out} are kept, run again to go on") from None
    print(f"{count} songs in {given.out}")


if __name__ == "__main__":
    main()
