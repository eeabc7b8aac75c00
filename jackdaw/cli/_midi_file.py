"""A Standard MIDI File of a recording: its beats as a tempo map, and markers. Written whole, no notes.

The file's time is the recording's. Each beat of the transport is a quarter note, and each of its bars a bar; where the
transport stood, started or jumped, the beats between are stretched so that the next true beat is on the grid, and a bar
there is as long as that takes. (Standard MIDI Files 1.0: meta events 51 tempo, 58 time signature, 06 marker, 03 name.)
"""

import math
import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Span", "beats_of", "midi_file"]

_TICKS = 960
_BPM, _BAR = 120.0, 4
_CLOSE = 0.3  # of a beat: nearer than that, two beats are one
_ROUNDED_US, _OFF_US = 2, 1000  # how wrong a beat may be, and the sum of all


@dataclass(frozen=True)
class Span:
    """From `start` on, until the next, the transport does one thing.

    Parameters
    ----------
    start
        Seconds of the recording; may lie before it.
    bpm
        Beats a minute; 0: it stands.
    beat
        At the start, from 0 in the bar.
    beats_per_bar
        Of the time signature.
    """

    start: float
    bpm: float = 0.0
    beat: float = 0.0
    beats_per_bar: int = _BAR


def beats_of(spans: Sequence[Span], end: float) -> list[tuple[float, bool]]:
    """Return the beats from 0 to just after `end`, in seconds, each with whether it begins a bar."""
    lines = [(0.0, True)]
    bpm, bar = _BPM, _BAR

    def fill(until: float, count: int) -> None:
        """Divide the time to the next beat of a span in so many parts, in bars of their own."""
        begin = lines[-1][0]
        in_bar = next(number for number, (_, is_bar) in enumerate(reversed(lines)) if is_bar)
        for number in range(1, count):
            at = begin + (until - begin) * number / count
            lines.append((at, (in_bar + number) % bar == 0))

    for index, span in enumerate(spans):
        after = spans[index + 1].start if index + 1 < len(spans) else math.inf
        if not span.bpm:
            continue
        beat_s = 60.0 / span.bpm
        number = math.ceil(span.beat + (max(0.0, span.start) - span.start) / beat_s - 1e-3)
        while (at := span.start + (number - span.beat) * beat_s) < min(after, end + beat_s):
            if at - lines[-1][0] < _CLOSE * 60.0 / max(bpm, span.bpm) and len(lines) > 1:
                lines.pop()
            if at - lines[-1][0] >= _CLOSE * 60.0 / max(bpm, span.bpm):
                fill(at, max(1, round((at - lines[-1][0]) * bpm / 60.0)))
                lines.append((at, number % span.beats_per_bar == 0))
                bpm, bar = span.bpm, span.beats_per_bar
            number += 1
    count = math.floor((end - lines[-1][0]) * bpm / 60.0) + 2
    if count > 1:
        fill(lines[-1][0] + count * 60.0 / bpm, count)
    return lines


def midi_file(beats: Sequence[tuple[float, bool]], markers: Iterable[tuple[float, str]]) -> bytes:
    """Return the file.

    Parameters
    ----------
    beats
        As :func:`beats_of` returns them, at least two.
    markers
        Seconds and words.
    """
    events: list[tuple[int, int, bytes]] = [(0, 0, _meta(0x03, b"Jackdaw"))]
    bars = [number for number, (_, is_bar) in enumerate(beats) if is_bar]
    length = 0
    for first, following in pairwise(bars):
        if following - first != length:
            length = following - first
            events.append((first * _TICKS, 1, _meta(0x58, bytes([min(length, 255), 2, 24, 8]))))
    if not length:
        events.append((0, 1, _meta(0x58, bytes([_BAR, 2, 24, 8]))))
    times, tempo = [0.0], 0
    for number, ((begin, _), (at, _)) in enumerate(pairwise(beats)):
        length_us, left_us = round((at - begin) * 1e6), round((at - times[-1]) * 1e6)
        if abs(tempo - length_us) > _ROUNDED_US or abs(tempo - left_us) > _OFF_US:
            tempo = min(max(1, length_us if abs(length_us - left_us) <= _OFF_US else left_us), 0xFFFFFF)
            events.append((number * _TICKS, 2, _meta(0x51, tempo.to_bytes(3, "big"))))
        times.append(times[-1] + tempo / 1e6)
    for at, words in markers:
        beat = min(max(bisect_right(times, at) - 1, 0), len(times) - 2)
        within = (at - times[beat]) / (times[beat + 1] - times[beat])
        events.append((max(0, round((beat + within) * _TICKS)), 3, _meta(0x06, words.encode())))
    track, now = b"", 0
    for tick, _, event in sorted(events, key=lambda event: event[:2]):
        track += _length(tick - now) + event
        now = tick
    track += _length(max(0, (len(beats) - 1) * _TICKS - now)) + _meta(0x2F, b"")
    return b"MThd" + struct.pack(">IHHH", 6, 1, 1, _TICKS) + b"MTrk" + struct.pack(">I", len(track)) + track


def _meta(kind: int, content: bytes) -> bytes:
    return bytes([0xFF, kind]) + _length(len(content)) + content


def _length(number: int) -> bytes:
    """Return a number as MIDI files have it: 7 bits a byte, all but the last with the highest bit set."""
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(number & 0x7F | 0x80)
    return bytes(reversed(digits))
