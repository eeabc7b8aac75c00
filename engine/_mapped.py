"""Controllers that turn knobs: what the control changes of one session come to, by the engine's map."""

from typing import Any

from jackdaw.engine._knobs import Knobs
from jackdaw.engine.controllers import Decoder, Move
from jackdaw.engine.midi_map import MidiMap
from jackdaw.engine.parameters import PARAMETERS
from jackdaw.engine.tapers import value_at

__all__ = ["MappedKnobs"]


class MappedKnobs:
    """Turns knobs as controllers move; one caller at a time.

    Parameters
    ----------
    knobs
        Of the session.
    midi_map
        Which controller turns which.

    Attributes
    ----------
    turns : int
        How often a knob was turned.
    """

    def __init__(self, knobs: Knobs, midi_map: MidiMap) -> None:
        self._knobs = knobs
        self._map = midi_map
        self.turns = 0
        self._decoder = Decoder()
        self._moved: Move | None = None
        self._moves = 0

    def control(self, channel: int, number: int, value: int) -> None:
        """Take a control change: channel 0..15, number and value 0..127."""
        moves = self._decoder.take(channel + 1, number, value)
        if not moves:
            return
        self._moved = moves[-1]
        self._moves += 1
        positions = {move.controller: move.position for move in moves}
        for name, controller in self._map.now.items():
            for moved, position in positions.items():
                same = (controller.kind, controller.number) == (moved.kind, moved.number)
                if same and controller.channel in (0, moved.channel):
                    self._knobs.turn({name: value_at(PARAMETERS[name], position)})
                    self.turns += 1

    def status(self) -> dict[str, Any] | None:
        """Return the controller that moved last, its position, and how many moves there were; None if none did."""
        moved = self._moved
        return None if moved is None else {**moved.controller.table(), "position": moved.position, "moves": self._moves}
