"""Reads Standard MIDI Files for tests: meta events with their seconds and quarter notes."""

from pathlib import Path
from typing import NamedTuple


class Meta(NamedTuple):
    seconds: float
    quarters: float
    kind: int
    content: bytes


class MidiFile:
    """Format 1, one track of meta events."""

    def __init__(self, content: bytes) -> None:
        assert content[:8] == b"MThd\x00\x00\x00\x06"
        assert content[8:12] == b"\x00\x01\x00\x01"
        self._ticks = int.from_bytes(content[12:14], "big")
        assert content[14:18] == b"MTrk"
        self._track, self._at = content[22:], 0
        assert int.from_bytes(content[18:22], "big") == len(self._track)
        self.events: list[Meta] = []
        self._tempi = [(0.0, 0.0, 0.5)]
        tick = 0
        while self._at < len(self._track):
            tick += self._number()
            assert self._track[self._at] == 0xFF
            kind = self._track[self._at + 1]
            self._at += 2
            length = self._number()
            data = self._track[self._at : self._at + length]
            self._at += length
            quarters = tick / self._ticks
            event = Meta(self.seconds(quarters), quarters, kind, data)
            self.events.append(event)
            if kind == 0x51:
                self._tempi.append((quarters, event.seconds, int.from_bytes(data, "big") / 1e6))
        assert self.events[-1].kind == 0x2F

    @classmethod
    def read(cls, path: Path) -> "MidiFile":
        return cls(path.read_bytes())

    def _number(self) -> int:
        number = 0
        while True:
            byte = self._track[self._at]
            self._at += 1
            number = number << 7 | byte & 0x7F
            if byte < 0x80:
                return number

    def seconds(self, quarters: float) -> float:
        begin, seconds, quarter = next(tempo for tempo in reversed(self._tempi) if tempo[0] <= quarters)
        return seconds + (quarters - begin) * quarter

    @property
    def markers(self) -> list[tuple[float, str]]:
        return [(event.seconds, event.content.decode()) for event in self.events if event.kind == 0x06]

    def marker(self, text: str) -> float:
        """Return when the only marker with this text is."""
        (found,) = [at for at, words in self.markers if text in words]
        return found

    @property
    def tempi(self) -> list[float]:
        return [60e6 / int.from_bytes(event.content, "big") for event in self.events if event.kind == 0x51]

    @property
    def beats(self) -> list[tuple[float, bool]]:
        """Return every quarter note in seconds, with whether it begins a bar."""
        signatures = {event.quarters: event.content[0] for event in self.events if event.kind == 0x58}
        beats, bar, left = [], 4, 0
        for number in range(int(self.events[-1].quarters) + 1):
            if number in signatures:
                assert left == 0, "a signature in the midst of a bar"
                bar = signatures[number]
            if left == 0:
                left = bar
            beats.append((self.seconds(number), left == bar))
            left -= 1
        return beats
