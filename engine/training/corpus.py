"""Build the training corpus: bands by MMA and by patterns of our own, sound by FluidSynth, labels from the score.

Writes ``DIR/songs/NNNNN.flac`` (the mix), ``NNNNN.stems.flac`` (8 channels: drums, bass, harmony and melody in stereo,
which add up to the mix exactly) and ``NNNNN.json``, and one line a song to ``DIR/manifest.jsonl``. Invariants: a song
depends on (seed, index) alone; FLACs appear whole (temporary name, then rename) and before their JSON, so a reader
who goes by the JSON files or the manifest never meets half a song; existing songs are never rewritten.

``jackdaw train corpus`` runs it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import multiprocessing
import os
import subprocess
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jackdaw.engine._parent import end_with_parent

from ._captions import captions, instruments
from ._melody import LEADS, write_melody
from ._mixing import mix
from ._mma import Event, Midi, Note, accompany, grooves
from ._parts import PARTS, choose_version, divide, exchange_sounds
from ._patterns import perform
from ._plan import Plan, changes, plan_song
from ._progressions import QUALITIES, ROOT_NAMES
from ._render import SAMPLE_RATE, SOUNDFONTS, render

__all__ = ["build_corpus", "make_song"]

TAIL_S = 2.5
FRAME = SAMPLE_RATE // 25


def _score(plan: Plan) -> str:
    """The song in MMA's language."""
    beats = int(plan.style.bar)
    lines = [f"RndSeed {plan.seed * 1_000_003 + plan.index}", f"Tempo {plan.bpm * plan.style.unit:.3f}"]
    lines += [f"Time {beats}"]
    rows, number = changes(plan), 0
    for name, length in plan.grooves:
        lines.append(f"Groove stdlib/{plan.style.file}:{name}")
        for _ in range(length):
            cells = ["/"] * beats
            for at, root, kind in rows[number]:
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


def _trimmed(stems: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Cut the end where all has faded 60 dB below the peak, and fade out 50 ms."""
    level = np.abs(stems.sum(axis=0)).max(axis=1)
    loud = np.flatnonzero(level > float(level.max()) * 1e-3)
    if not len(loud):
        raise RuntimeError("the synthesiser returned silence")
    fade = SAMPLE_RATE // 20
    stems = stems[:, : min(len(level), int(loud[-1]) + 1 + fade)].copy()
    stems[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32)[:, None]
    return stems


def _energy(sound: npt.NDArray[np.int16]) -> list[int]:
    """Level of each 40 ms frame: RMS in dBFS, whole numbers, at least -99."""
    frames = len(sound) // FRAME
    power = (sound[: frames * FRAME].astype(np.float64) / 32768) ** 2
    return [int(x) for x in np.round(10 * np.log10(power.reshape(frames, -1).mean(axis=1) + 1.26e-10))]


def _with_melody(plan: Plan, midi: Midi, rng: np.random.Generator) -> tuple[Midi, int | None]:
    """Give three songs in five a soloist, on a channel of its own, which is returned."""
    wanted, program = rng.random() < 0.6, int(rng.choice(LEADS))
    free = [c for c in range(16) if c != 9 and c not in {n.channel for n in midi.notes}]
    if not wanted or not free:
        return midi, None
    unit = plan.style.unit
    bars = [[(at / unit, root, kind) for at, root, kind in row] for row in changes(plan)]
    channel = free[0]
    tones = write_melody(bars, plan.style.bpb, plan.tonic, plan.progression.mode, rng)
    lead = []
    for tone in tones:
        start, end = (midi.seconds(at * unit) for at in (tone.start, tone.start + tone.length))
        lead.append(Note(start, end, tone.pitch, channel, program, tone.velocity))
    settings = ((0xC0, program, 0), (0xB0, 7, 104), (0xB0, 10, int(rng.integers(40, 88))), (0xB0, 91, 50))
    events = [Event(0.0, kind, channel, a, b) for kind, a, b in settings]
    notes = sorted([*midi.notes, *lead], key=lambda n: (n.start, n.channel, n.pitch))
    return Midi(tuple(notes), (*events, *midi.events), midi.tempo_map), channel if lead else None


@functools.cache
def _versions(names: tuple[str, ...]) -> dict[str, str]:
    """Debian packages that make the sound, with their versions."""
    command = ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *names]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    if out.returncode != 0:
        raise RuntimeError(f"packages are missing: run `apt install {' '.join(names)}` ({out.stderr.strip()})")
    return dict(line.split() for line in out.stdout.splitlines())


def _labels(
    plan: Plan, midi: Midi, parts: Sequence[Sequence[Note]], version: str, frames: int, rng: np.random.Generator
) -> dict[str, Any]:
    style = plan.style
    playing = [(n, name) for name, part in zip(PARTS, parts, strict=True) for n in part]
    playing.sort(key=lambda row: (row[0].start, row[0].channel, row[0].pitch))
    duration = frames / SAMPLE_RATE
    bar = style.bar
    bpm = round(60 / midi.seconds(style.unit), 3)  # MMA rounds the tempo to whole quarter notes a minute
    beats = [midi.seconds(i * style.unit) for i in range(len(plan.bars) * style.bpb)]
    beats = [t for t in beats if t < duration]
    moves = [
        (midi.seconds(number * bar + at), root, kind)
        for number, row in enumerate(changes(plan))
        for at, root, kind in row
    ]
    stop = min(duration, midi.seconds(len(plan.bars) * bar))
    ends = [t for t, _, _ in moves[1:]] + [stop]
    chords: list[list[Any]] = []
    for (start, root, kind), end in zip(moves, ends, strict=True):
        label = QUALITIES[kind][0]
        if chords and chords[-1][2:] == [root, label]:
            chords[-1][1] = round(end, 5)
        else:
            chords.append([round(start, 5), round(end, 5), root, label])
    heard = instruments([n for n, _ in playing])
    about = {name: name for name in style.patterns} or {k: v[0] for k, v in grooves(style.file).items()}
    packages = ("libfluidsynth3", SOUNDFONTS[plan.soundfont][1], *(() if style.patterns else ("mma",)))
    return {
        "id": f"{plan.index:05d}",
        "split": plan.split,
        "held_out": plan.held,
        "style_file": style.file,
        "family": style.family,
        "style_group": style.group,
        "groove": max(plan.grooves, key=lambda g: g[1])[0],
        "grooves": [[n, bars, about[n]] for n, bars in plan.grooves],
        "version": version,
        "parts": {name: instruments(part) for name, part in zip(PARTS, parts, strict=True) if part},
        "captions": captions(style, plan.progression.mode, bpm, heard, rng, version),
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
            [round(n.start, 4), round(n.end, 4), n.pitch, n.channel, n.program, n.velocity, part]
            for n, part in playing
        ],
        "soundfont": plan.soundfont,
        "seed": plan.seed,
        "index": plan.index,
        "provenance": _versions(packages),
    }  # fmt: skip


def _performance(plan: Plan, rng: np.random.Generator) -> Midi:
    """What the style's band plays."""
    if plan.style.patterns:
        rows = [[(int(at), root, kind) for at, root, kind in row] for row in changes(plan)]
        return perform(plan.style.family, plan.grooves[0][0], rows, plan.bpm, rng)
    return accompany(_score(plan))


def make_song(plan: Plan) -> tuple[npt.NDArray[np.int16], dict[str, Any]]:
    """Compile and render a plan.

    Returns
    -------
    stems : ndarray of int16, shape (parts, frames, 2)
        At 48 kHz, in the order of ``PARTS``; their sum is the mix. Sample 0 is the first beat of the first bar.
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
    midi, lead = _with_melody(plan, exchange_sounds(_performance(plan, rng), 0.3, rng), rng)
    parts = divide(_humanise(midi.notes, rng), lead)
    version, playing = choose_version(parts, rng)
    parts = [part if plays else [] for part, plays in zip(parts, playing, strict=True)]
    end = max(note.end for part in parts for note in part)
    seconds = max(end, midi.seconds(len(plan.bars) * plan.style.bar)) + TAIL_S
    room, wet = float(rng.uniform(0.2, 0.7)), float(rng.uniform(0.05, 0.4))
    stems = mix(_trimmed(render(parts, midi.events, seconds, plan.soundfont, room, wet)), rng)
    return stems, {
        **_labels(plan, midi, parts, version, stems.shape[1], rng),
        "energy_db": _energy(stems.sum(axis=0, dtype=np.int16)),
    }


def _place(folder: Path, name: str, sound: npt.NDArray[np.int16]) -> None:
    """Write a FLAC that appears whole."""
    part = folder / f".{name}.part"
    soundfile.write(part, sound, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    os.replace(part, folder / name)


def _write_song(folder: str, seed: int, index: int) -> dict[str, Any]:
    """Make one song and put it in place, sound first; returns its labels without the long ones."""
    songs = Path(folder)
    stems, labels = make_song(plan_song(seed, index))
    base = f"{index:05d}"
    _place(songs, f"{base}.stems.flac", np.concatenate(stems, axis=1))
    _place(songs, f"{base}.flac", stems.sum(axis=0, dtype=np.int16))
    part = songs / f".{base}.json.part"
    part.write_text(json.dumps(labels, separators=(",", ":")))
    os.replace(part, songs / f"{base}.json")
    return _manifest_row(labels)


def _manifest_row(labels: dict[str, Any]) -> dict[str, Any]:
    keep = ("id", "split", "held_out", "style_file", "family", "style_group", "groove", "tempo_bpm", "beats_per_bar",
            "key", "duration_s", "soundfont", "version", "seed")  # fmt: skip
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
    with ProcessPoolExecutor(jobs, context, end_with_parent) as pool:
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
