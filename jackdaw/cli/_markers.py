"""The markers of a recording: what the engine tells happened, placed where the bridge tells the recording is.

The supervisor asks the engine's status all the time, and keeps what happened (:meth:`Markers.look`). The bridge logs
which frame of a recording was played at which time. Both are times of one clock, so neither need know of the other, and
either may have died meanwhile. :meth:`Markers.write` puts them together, once the recording is closed.
"""

import json
import os
from pathlib import Path
from typing import Any

from jackdaw.cli._midi_file import Span, beats_of, midi_file

__all__ = ["Markers"]

_STATES = ("start", "prompts", "transport", "tempo")  # what still holds at the recording's first sample
_TURNED = ("prompts", "tempo")  # what may change many times a second, until it settles
_SETTLED_S = 1.0
_SAME_S = 0.002


class Markers:
    """See the module.

    Parameters
    ----------
    preset
        Name of the preset that the jam begins with, if any.
    """

    def __init__(self, preset: str | None = None) -> None:
        self._preset = preset
        self._events: dict[tuple[int, str, str], dict[str, Any]] = {}

    def look(self, status: dict[str, Any] | None) -> None:
        """Keep what the engine tells; None: it does not answer."""
        for event in (status or {}).get("events", ()):
            self._events.setdefault((event["ns"], event["kind"], event["text"]), event)

    def write(self, log: Path) -> list[Path]:
        """Write a MIDI file beside each recording that a bridge's log tells of; return the files.

        Raises
        ------
        OSError
            If one cannot be written; nothing is left half written, and nothing overwritten.
        """
        points: dict[str, list[tuple[int, int]]] = {}
        rates, lengths = {}, {}
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            told = _object(line)
            if told.get("event") == "recording":
                points.setdefault(told["file"], []).append((told["frame"], told["ns"]))
                rates[told["file"]] = told["rate"]
            elif told.get("event") == "recorded":
                lengths[told["played"]] = told["frames"]
        written = []
        for name, known in points.items():
            place = _Place(known, rates[name])
            end = lengths.get(name, known[-1][0]) / rates[name]
            target = Path(name).with_suffix(".mid")
            _put(target, self._file(place, end))
            written.append(target)
        return written

    def _file(self, place: "_Place", end: float) -> bytes:
        events = sorted(self._events.values(), key=lambda event: event["ns"])
        placed = [(place.seconds(event["ns"]), event) for event in events]
        transport = [(at, event) for at, event in placed if "rolling" in event]
        spans = [
            Span(at, event["bpm"], event["beat"], event["beats_per_bar"]) if event["rolling"] else Span(at)
            for at, event in transport
        ]
        return midi_file(beats_of(spans, end), self._words(placed, end))

    def _words(self, placed: list[tuple[float, dict[str, Any]]], end: float) -> list[tuple[float, str]]:
        """Return the markers, one for all that is at one time; what was before and still holds is of the start."""
        chosen: list[tuple[float, str]] = []
        first = next((event for _, event in placed if event["kind"] == "start"), None)
        for number, (at, event) in enumerate(placed):
            kind, text = event["kind"], event["text"]
            if not text or at > end:
                continue
            after = [(when, other) for when, other in placed[number + 1 :] if other["text"]]
            replaced = any(when <= 0 and _group(other) == _group(event) for when, other in after)
            if at < 0 and (kind not in _STATES or replaced or event.get("rolling") is False):
                continue
            if kind in _TURNED and any(when - at < _SETTLED_S and other["kind"] == kind for when, other in after):
                continue
            if event is first and self._preset is not None:
                text += f", preset {self._preset}"
            if chosen and max(at, 0.0) - chosen[-1][0] < _SAME_S:
                chosen[-1] = (chosen[-1][0], f"{chosen[-1][1]}; {text}")
            else:
                chosen.append((max(at, 0.0), text))
        return chosen


def _group(event: dict[str, Any]) -> str:
    return "transport" if "rolling" in event else str(event["kind"])


class _Place:
    """Where in a recording a time is: as its nearest known point before says."""

    def __init__(self, points: list[tuple[int, int]], rate: int) -> None:
        self._points = points
        self._rate = rate

    def seconds(self, ns: int) -> float:
        frame, at = next((point for point in reversed(self._points) if point[1] <= ns), self._points[0])
        return frame / self._rate + (ns - at) / 1e9


def _object(line: str) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _put(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; one that is there stays."""
    if path.exists():
        raise FileExistsError(f"{path} is there already")
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        half.write_bytes(content)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
