"""What happens in a session, and when that is heard: for the markers in a recording.

Some of it takes effect with the next step (prompts, a reset): any thread says so with :meth:`Events.soon`, and the
device thread, which knows at which output frame that step lies, with :meth:`Events.step`. The frame becomes a time when
it is played, by the clock anchor. The transport is looked at in every turn of the device thread, and has times of its
own. The newest events are kept; who wants them all asks ten times a second.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from jackdaw.engine.models.contract import Clock

if TYPE_CHECKING:
    from jackdaw.dsp import SegmentWriter

__all__ = ["Events", "prompts_in_words"]

_KEPT = 32
_WAITING = 64
_JUMP_S, _JUMP_LOOKS = 0.030, 3
_DRIFT_S, _DRIFT_LOOKS = 0.005, 50
_BEHIND_S = 0.040  # how long after it a start may be seen


@dataclass(frozen=True)
class _Waiting:
    kind: str
    text: str
    frame: int


def prompts_in_words(names: tuple[str, ...], values: Mapping[str, float]) -> str:
    """Return the prompts that count, with weights other than 1: ``disco funk 0.7, bossa nova 0.3``."""
    weights = [round(values[f"weight_{number}"], 2) for number in range(1, len(names) + 1)]
    heard = [(name, weight) for name, weight in zip(names, weights, strict=True) if weight]
    return ", ".join(name if weight == 1 else f"{name} {weight:g}" for name, weight in heard) or "no prompt"


class Events:
    """See the module.

    Parameters
    ----------
    writer
        The engine's side of the segment.
    """

    def __init__(self, writer: "SegmentWriter") -> None:
        self._writer = writer
        self._lock = threading.Lock()  # held for moments only
        self._soon: deque[tuple[str, str]] = deque(maxlen=_WAITING)
        self._waiting: deque[_Waiting] = deque(maxlen=_WAITING)
        self._done: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._time: tuple[int, Clock] | None = None
        self._odd: list[tuple[int, Clock]] = []

    def soon(self, kind: str, text: str) -> None:
        """Note what the next step obeys. Any thread."""
        with self._lock:
            self._soon.append((kind, text))

    def now(self, kind: str, text: str) -> None:
        """Note what is now. Any thread."""
        self._add(time.monotonic_ns(), kind, text)

    def status(self) -> list[dict[str, Any]]:
        """Return the newest that were heard: ``ns`` (monotonic), ``kind``, ``text``. Any thread."""
        with self._lock:
            return list(self._done)

    def _add(self, ns: int, kind: str, text: str, **more: Any) -> None:
        with self._lock:
            self._done.append({"ns": ns, "kind": kind, "text": text, **more})

    # ---- device thread -------------------------------------------------------------------------------------

    def step(self, frame: int) -> None:
        """What comes soon is heard at this output frame."""
        while self._soon:
            kind, text = self._soon.popleft()
            self._waiting.append(_Waiting(kind, text, frame))

    def begin_epoch(self, position: int, start: int) -> None:
        """What was to be heard at `position` is heard at `start` now, and what was to come before it, too."""
        moved = [replace(event, frame=max(start, event.frame - position + start)) for event in self._waiting]
        self._waiting = deque(moved, _WAITING)

    def look(self, time_: tuple[int, Clock] | None, rate: int) -> None:
        """Give times to what was played; follow the transport, of which a time and its beat are known."""
        anchor = self._writer.anchor
        while anchor is not None and self._waiting and self._waiting[0].frame <= anchor.out_frame:
            event = self._waiting.popleft()
            self._add(anchor.ns - (anchor.out_frame - event.frame) * 1_000_000_000 // rate, event.kind, event.text)
        if not self._writer.freewheeling:
            self._follow(time_)

    def _follow(self, now: tuple[int, Clock] | None) -> None:
        """Note where the transport starts, stops and changes, and, silently, where its clock drifts off ours.

        The time of a block wavers by as much as the audio thread was late: one odd block is no jump.
        """
        before = self._time
        if now is None:
            if before is not None:
                self._time, self._odd = None, []
                self._add(time.monotonic_ns(), "transport", "transport stops", rolling=False)
        elif before is None:
            self._anchor(_from_beat(now), f"transport starts, {now[1].bpm:.4g} bpm")
        elif (now[1].bpm, now[1].beats_per_bar) != (before[1].bpm, before[1].beats_per_bar):
            self._anchor(now, f"{now[1].bpm:.4g} bpm, {now[1].beats_per_bar} beats a bar", "tempo")
        elif now != before:
            away = _away(before, now)
            if abs(away) < _DRIFT_S:
                self._odd = []
            elif not self._odd or self._odd[-1] != now:
                self._odd.append(now)
                if sum(abs(_away(before, odd)) > _JUMP_S for odd in self._odd[-_JUMP_LOOKS:]) == _JUMP_LOOKS:
                    self._anchor(_from_beat(self._odd[-_JUMP_LOOKS]), "transport jumps")
                elif len(self._odd) >= _DRIFT_LOOKS:
                    self._anchor(now, "", "tempo")

    def _anchor(self, at: tuple[int, Clock], text: str, kind: str = "transport") -> None:
        self._time, self._odd = at, []
        ns, clock = at
        told = {"bpm": clock.bpm, "beat": clock.beat, "beats_per_bar": clock.beats_per_bar}
        self._add(ns, kind, text, rolling=True, **told)


def _from_beat(at: tuple[int, Clock]) -> tuple[int, Clock]:
    """Return the beat that has just begun, if one has: a transport starts on a beat, and is seen a moment later."""
    ns, clock = at
    since = (clock.beat - math.floor(clock.beat)) * 60.0 / clock.bpm
    if since > _BEHIND_S:
        return at
    return ns - round(since * 1e9), replace(clock, beat=float(math.floor(clock.beat)))


def _away(before: tuple[int, Clock], now: tuple[int, Clock]) -> float:
    """Return by how many seconds the second is ahead of where the first leads to, within the bar."""
    bar, bpm = now[1].beats_per_bar, now[1].bpm
    beats = now[1].beat - before[1].beat - (now[0] - before[0]) / 1e9 * bpm / 60.0
    return ((beats + bar / 2) % bar - bar / 2) * 60.0 / bpm
