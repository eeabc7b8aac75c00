"""From bytes to whole MIDI messages: running status, SysEx, and real-time bytes in between (MIDI 1.0, section 2).

A :class:`Parser` is the state of one stream of bytes. It keeps nothing of SysEx, so a flood of that costs no memory.
"""

__all__ = ["SYSTEM_RESET", "Parser"]

SYSTEM_RESET = bytes([0xFF])
"""The one system message that matters to notes."""

_REAL_TIME, _SYSTEM, _STATUS = 0xF8, 0xF0, 0x80
_LENGTHS = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}
"""Data bytes of a channel message, by the upper half of its status (MIDI 1.0, table I)."""


class Parser:
    """Finds channel messages, and system resets, in a stream of bytes."""

    def __init__(self) -> None:
        self._status = 0
        self._data = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that these bytes complete, each with its status.

        Data bytes without a status, SysEx, and other system messages are skipped; a message that a new status
        interrupts is lost, as the standard has it.
        """
        messages = []
        for byte in data:
            if byte >= _REAL_TIME:
                if byte == SYSTEM_RESET[0]:
                    messages.append(SYSTEM_RESET)
            elif byte >= _STATUS:
                self._status = byte if byte < _SYSTEM else 0
                self._data.clear()
            elif self._status:
                self._data.append(byte)
                if len(self._data) == _LENGTHS[self._status >> 4]:
                    messages.append(bytes([self._status]) + self._data)
                    self._data.clear()
        return messages
