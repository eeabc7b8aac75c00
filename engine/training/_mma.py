"""Ask MMA for grooves and accompaniments, and read the MIDI it writes.

MMA (Debian package ``mma``) is run as a program; only the ``stdlib`` style files are named. The MIDI file is read
here: notes with their programs, controllers, and the tempo map that makes the labels exact.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Event", "Midi", "Note", "accompany", "find_program", "grooves", "read_midi"]

STDLIB = Path("/usr/share/mma/lib/stdlib")


@dataclass(frozen=True)
class Note:
    """One note: times in seconds, MIDI numbers; ``channel`` 9 is drums."""

    start: float
    end: float
    pitch: int
    channel: int
    program: int
    velocity: int


@dataclass(frozen=True)
class Event:
    """A controller (``kind`` 0xB0), program change (0xC0) or pitch bend (0xE0, 14 bits in ``a``) at ``time`` s."""

    time: float
    kind: int
    channel: int
    a: int
    b: int


@dataclass(frozen=True)
class Midi:
    """A MIDI file in seconds, with the map from quarter notes to seconds."""

    notes: tuple[Note, ...]
    events: tuple[Event, ...]
    tempo_map: tuple[tuple[float, float, float], ...]

    def seconds(self, quarters: float) -> float:
        """Time in seconds of a position in quarter notes from the start."""
        begin, at, step = next(t for t in reversed(self.tempo_map) if t[0] <= quarters)
        return at + (quarters - begin) * step


def find_program(name: str, package: str) -> str:
    """Path of an installed program.

    Raises
    ------
    FileNotFoundError
        If it is not on the path; the message names the Debian package.
    """
    path = shutil.which(name)
    if path is None:
        raise FileNotFoundError(f"{name} is not installed: run `apt install {package}` and try again")
    return path


@functools.cache
def grooves(file: str) -> dict[str, tuple[str, int]]:
    """Grooves a ``stdlib`` style file defines.

    Parameters
    ----------
    file : str
        File name without ``.mma``.

    Returns
    -------
    dict
        Groove name -> (the author's description, bars in its sequence).

    Raises
    ------
    RuntimeError
        If MMA does not answer with JSON.
    """
    path = STDLIB / f"{file}.mma"
    out = subprocess.run([find_program("mma", "mma"), "-Djs", str(path)], capture_output=True, text=True, check=False)
    head = out.stdout.find("JSON\n")
    if out.returncode != 0 or head < 0:
        raise RuntimeError(f"mma -Djs {path} gave no groove list: {out.stdout[-300:]}{out.stderr[-300:]}")
    # The author's line ends \" are undone, white space is folded.
    return {
        g["groove"]: (re.sub(r"[\\\s]+", " ", g["description"]).strip(), int(g["size"]))
        for g in json.loads(out.stdout[head + 5 :])
    }


def accompany(text: str) -> Midi:
    """Compile an MMA song to MIDI.

    Parameters
    ----------
    text : str
        The song, in MMA's language.

    Raises
    ------
    RuntimeError
        If MMA refuses the song; the message carries its output.
    """
    with tempfile.TemporaryDirectory(prefix="jackdaw-mma-") as folder:
        song = Path(folder, "song.mma")
        song.write_text(text)
        env = {"PATH": os.environ["PATH"], "HOME": folder, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
        out = subprocess.run(
            [find_program("mma", "mma"), str(song), "-f", "song.mid"],
            cwd=folder, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        result = Path(folder, "song.mid")
        if out.returncode != 0 or not result.exists():
            raise RuntimeError(f"mma refused a song: {out.stdout[-500:]}{out.stderr[-500:]}\n{text}")
        return read_midi(result.read_bytes())


def _varlen(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    while True:
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at


def _messages(track: bytes) -> list[tuple[int, int, bytes]]:
    """Messages of one track chunk as (tick, status or 0xFF51 for tempo, data)."""
    found: list[tuple[int, int, bytes]] = []
    at, tick, status = 0, 0, 0
    while at < len(track):
        delta, at = _varlen(track, at)
        tick += delta
        if track[at] >= 0x80:
            status = track[at]
            at += 1
        if status == 0xFF:
            kind = track[at]
            size, at = _varlen(track, at + 1)
            if kind == 0x51:
                found.append((tick, 0xFF51, track[at : at + size]))
            at += size
        elif status in (0xF0, 0xF7):
            size, at = _varlen(track, at)
            at += size
        else:
            size = 1 if status & 0xF0 in (0xC0, 0xD0) else 2
            found.append((tick, status, track[at : at + size]))
            at += size
    return found


def read_midi(data: bytes) -> Midi:
    """Read a standard MIDI file.

    Parameters
    ----------
    data : bytes
        Contents of a format 0 or 1 file with a ticks-per-quarter division.

    Raises
    ------
    ValueError
        If it is not such a file.
    """
    if data[:4] != b"MThd":
        raise ValueError("not a MIDI file: it does not begin with MThd")
    size, _, tracks, division = struct.unpack(">IHHH", data[4:14])
    if division & 0x8000:
        raise ValueError("the MIDI file counts in SMPTE frames; one in ticks per quarter note is needed")
    at, messages = 8 + size, []
    for _ in range(tracks):
        length = struct.unpack(">I", data[at + 4 : at + 8])[0]
        messages += _messages(data[at + 8 : at + 8 + length])
        at += 8 + length
    # Stable order at one tick: tempo, then note-offs, then controllers and programs, then note-ons.
    rank = {0xFF51: 0, 0x80: 1, 0xB0: 2, 0xC0: 3, 0xE0: 4, 0x90: 5}
    messages = [
        (tick, 0x80 | status & 0x0F if status & 0xF0 == 0x90 and body[1] == 0 else status, body)
        for tick, status, body in messages
    ]
    messages.sort(key=lambda m: (m[0], rank.get(m[1] if m[1] > 0xFF else m[1] & 0xF0, 6)))

    tempo_map: list[tuple[float, float, float]] = [(0.0, 0.0, 0.5)]
    notes: list[Note] = []
    events: list[Event] = []
    programs = [0] * 16
    open_notes: dict[tuple[int, int], list[tuple[float, int, int]]] = {}
    now = 0.0
    for tick, status, body in messages:
        begin, since, step = tempo_map[-1]
        quarters = tick / division
        now = since + (quarters - begin) * step
        kind, channel = status & 0xF0, status & 0x0F
        if status == 0xFF51:
            tempo_map.append((quarters, now, int.from_bytes(body, "big") / 1e6))
        elif kind == 0x90:
            open_notes.setdefault((channel, body[0]), []).append((now, body[1], programs[channel]))
        elif kind == 0x80:
            waiting = open_notes.get((channel, body[0]))
            if waiting:
                start, velocity, program = waiting.pop(0)
                notes.append(Note(start, now, body[0], channel, program, velocity))
        elif kind == 0xC0:
            programs[channel] = body[0]
            events.append(Event(now, kind, channel, body[0], 0))
        elif kind == 0xB0:
            events.append(Event(now, kind, channel, body[0], body[1]))
        elif kind == 0xE0:
            events.append(Event(now, kind, channel, body[0] | body[1] << 7, 0))
    for (channel, pitch), waiting in open_notes.items():
        notes += [Note(start, now, pitch, channel, program, velocity) for start, velocity, program in waiting]
    notes.sort(key=lambda n: (n.start, n.channel, n.pitch))
    return Midi(tuple(notes), tuple(events), tuple(tempo_map))
