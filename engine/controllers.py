"""MIDI controllers: which one moved, where it stands, and how to tell it where to stand.

Three kinds (MIDI 1.0, control change): ``cc`` 0..119 with 7 bits; ``cc14`` 0..31 with 14 bits, whose lower 7 come as
controller 32 higher; ``nrpn`` 0..16383, selected by 99 and 98, moved by data entry (6 and 38) or by a step (96, 97).

A :class:`Decoder` is the state of one stream of control changes, and a value has a position 0..1, whatever its bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["KINDS", "Controller", "Decoder", "Move", "messages"]

KINDS: Mapping[str, int] = {"cc": 119, "cc14": 31, "nrpn": 16382}
"""Kinds of controllers, and the largest number of each (NRPN 16383 selects none)."""

_CONTROL = 0xB0
_LOW = 32  # from a controller's upper to its lower 7 bits
_DATA, _DATA_LOW, _STEP_UP, _STEP_DOWN = 6, 38, 96, 97
_NRPN_LOW, _NRPN, _RPN_LOW, _RPN = 98, 99, 100, 101
_NONE = 127
_FULL7, _FULL14 = 127, 16383
_SURE = 2
"""So often a lower half must follow its upper half at once, for the two to be one controller of 14 bits."""


@dataclass(frozen=True)
class Controller:
    """One controller.

    Parameters
    ----------
    kind
        One of :data:`KINDS`.
    number
        From 0.
    channel
        1..16; 0 = any.

    Raises
    ------
    ValueError
        If there is no such controller.
    """

    kind: str
    number: int
    channel: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a controller is one of {', '.join(KINDS)}, not {self.kind!r}")
        if not 0 <= self.number <= KINDS[self.kind]:
            raise ValueError(f"{self.kind} {self.number}: give a number from 0 to {KINDS[self.kind]}")
        if not 0 <= self.channel <= 16:
            raise ValueError(f"channel {self.channel}: give 1 to 16, or leave it out for any")

    def __str__(self) -> str:
        return f"{self.kind.upper()} {self.number}" + (f" on channel {self.channel}" if self.channel else "")

    def table(self) -> dict[str, int]:
        """Return it as maps and files have it: ``{"cc": 74, "channel": 1}``."""
        return {self.kind: self.number} | ({"channel": self.channel} if self.channel else {})

    @staticmethod
    def of_table(table: object) -> "Controller":
        """Return what a table such as ``{"cc": 74, "channel": 1}`` means.

        Raises
        ------
        ValueError
            If it is none; the text goes on after the name of what holds it.
        """
        shape = "{ cc = 74, channel = 1 }, with one of cc, cc14 and nrpn, and a channel if it is to count alone"
        if not isinstance(table, dict) or not all(type(value) is int for value in table.values()):
            raise ValueError(f"give a table such as {shape}")
        kinds = [key for key in table if key in KINDS]
        if len(kinds) != 1 or set(table) - {"channel", *kinds} or table.get("channel", 1) == 0:
            raise ValueError(f"give a table such as {shape}")
        return Controller(kinds[0], table[kinds[0]], table.get("channel", 0))


@dataclass(frozen=True)
class Move:
    """A controller, and the position 0..1 that it has now."""

    controller: Controller
    position: float


class Decoder:
    """Turns control changes into moves of controllers."""

    def __init__(self) -> None:
        self._values: dict[tuple[int, int], int] = {}  # of controllers 0..63, by channel (1..16) and number
        self._addresses: dict[int, list[int | None]] = {}  # of the selected NRPN, upper and lower half, by channel
        self._nrpns: dict[Controller, int] = {}
        self._fine: set[Controller] = set()  # NRPNs that sent a lower half
        self._before: tuple[int, int] = (0, 0)
        self._pairs: dict[tuple[int, int], int] = {}

    def take(self, channel: int, number: int, value: int) -> list[Move]:
        """Take one control change; return what it may mean, likeliest last.

        A controller below 64 is a knob of 7 bits or half of one of 14; which, only its use can tell.

        Parameters
        ----------
        channel
            1..16.
        number
            0..119.
        value
            0..127.
        """
        before, self._before = self._before, (channel, number)
        if number in (_NRPN, _NRPN_LOW):
            self._addresses.setdefault(channel, [None, None])[number == _NRPN_LOW] = value
            return []
        if number in (_RPN, _RPN_LOW):
            self._addresses.pop(channel, None)
            return []
        selected = self._selected(channel)
        if selected is not None and number in (_DATA, _DATA_LOW, _STEP_UP, _STEP_DOWN):
            return [self._entered(selected, number, value)]
        plain = Move(Controller("cc", number, channel), value / _FULL7)
        if number >= 2 * _LOW:
            return [plain]
        high = number % _LOW
        self._values[channel, number] = value
        if number == high:
            self._values[channel, high + _LOW] = 0
        elif before == (channel, high):
            self._pairs[channel, high] = self._pairs.get((channel, high), 0) + 1
        both = (self._values.get((channel, high), 0) << 7) + self._values[channel, high + _LOW]
        fine = Move(Controller("cc14", high, channel), both / _FULL14)
        return [plain, fine] if self._pairs.get((channel, high), 0) >= _SURE else [fine, plain]

    def _selected(self, channel: int) -> Controller | None:
        high, low = self._addresses.get(channel, [None, None])
        if high is None or low is None or high == low == _NONE:
            return None
        return Controller("nrpn", (high << 7) + low, channel)

    def _entered(self, nrpn: Controller, number: int, value: int) -> Move:
        now = self._nrpns.get(nrpn, 0)
        if number == _DATA:
            now = value << 7
        elif number == _DATA_LOW:
            now = (now & ~_FULL7) | value
            self._fine.add(nrpn)
        else:
            now = min(max(now + (1 if number == _STEP_UP else -1), 0), _FULL14)
            self._fine.add(nrpn)
        self._nrpns[nrpn] = now
        return Move(nrpn, now / _FULL14 if nrpn in self._fine else (now >> 7) / _FULL7)


def messages(controller: Controller, position: float) -> list[bytes]:
    """Return what tells a device that a controller stands at a position 0..1: for motor faders and rings of lights.

    A controller on any channel is told on the first.
    """
    status = _CONTROL + max(controller.channel, 1) - 1
    fine = round(position * _FULL14)
    halves = (fine >> 7, fine & _FULL7)
    if controller.kind == "cc":
        pairs = [(controller.number, round(position * _FULL7))]
    elif controller.kind == "cc14":
        pairs = [(controller.number, halves[0]), (controller.number + _LOW, halves[1])]
    else:
        address = ((_NRPN, controller.number >> 7), (_NRPN_LOW, controller.number & _FULL7))
        pairs = [*address, (_DATA, halves[0]), (_DATA_LOW, halves[1])]
    return [bytes([status, number, value]) for number, value in pairs]
