"""MIDI beside the audio: ports of the ALSA sequencer, or of JACK, by rtmidi.

A virtual input and a virtual output are there for a patchbay; besides, ports whose names hold certain words are
connected as they come and let go as they vanish (:meth:`MidiPorts.look`). Messages are put into a queue by rtmidi's
thread, whole and with their status, and taken by whoever owns the object (:meth:`MidiPorts.take`); all methods are for
that one thread. Nothing here is for an audio thread, and messages keep no time: notes that must stay at their frame go
through the port ``midi_in`` of the JACK client.
"""

import queue
from collections.abc import Sequence
from typing import Any

import rtmidi

__all__ = ["APIS", "MidiError", "MidiPorts"]

APIS = {"alsa": rtmidi.API_LINUX_ALSA, "jack": rtmidi.API_UNIX_JACK}

_OURS = "jackdaw"
_LOOP = "Midi Through"
_CLIENT = "jackdaw-midi"
_MOST_WAITING = 4096
_CHANNEL, _SYSTEM = 0x80, 0xF0


class MidiError(RuntimeError):
    """There is no MIDI to be had; the message says why and what to do."""


class MidiPorts:
    """See the module.

    Parameters
    ----------
    api
        ``alsa`` or ``jack``.
    words
        Ports whose names hold one of them are connected; an empty word means all. Our own and ALSA's loop never are.

    Raises
    ------
    MidiError
        If there is no sequencer or server.
    """

    def __init__(self, api: str, words: Sequence[str] = ()) -> None:
        self._api = api
        self._words = tuple(words)
        self._waiting: queue.Queue[bytes] = queue.Queue(_MOST_WAITING)
        self._sources: dict[str, Any] = {}
        self._targets: dict[str, Any] = {}
        self._input = self._open(rtmidi.MidiIn)
        self._output = self._open(rtmidi.MidiOut)
        self._listen(self._input)
        try:
            self._input.open_virtual_port("in")
            self._output.open_virtual_port("out")
        except rtmidi.RtMidiError as error:
            raise MidiError(f"{api}: no port can be made: {error}") from error

    def look(self) -> tuple[list[str], list[str]]:
        """Connect ports that have come, let go of those that have gone; return the names of either."""
        come, gone = [], []
        for scout, held in ((self._input, self._sources), (self._output, self._targets)):
            there = [name for name in scout.get_ports() if self._is_wanted(name)]
            for name in [name for name in held if name not in there]:
                self._end(held.pop(name))
                gone.append(name)
            for name in there:
                if name not in held:
                    port = self._connect(type(scout), name)
                    if port is not None:
                        held[name] = port
                        come.append(name)
        return come, gone

    def take(self, timeout: float, most: int) -> list[bytes]:
        """Return channel messages that have come, oldest first, at most so many; wait up to so many seconds for one."""
        messages: list[bytes] = []
        try:
            messages.append(self._waiting.get(timeout=timeout))
            while len(messages) < most:
                messages.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        return messages

    def send(self, message: bytes) -> None:
        """Send to all outputs."""
        for port in (self._output, *self._targets.values()):
            port.send_message(message)

    def close(self) -> None:
        """Let go of all ports."""
        for port in (*self._sources.values(), *self._targets.values(), self._input, self._output):
            self._end(port)

    def _open(self, kind: Any) -> Any:
        try:
            return kind(APIS[self._api], f"{_CLIENT}-{'in' if kind is rtmidi.MidiIn else 'out'}")
        except rtmidi.RtMidiError as error:
            what = (
                "the ALSA sequencer is not there (/dev/snd/seq): load it with `modprobe snd-seq`, or give --api jack"
                if self._api == "alsa"
                else "no JACK server runs: start one, or give --api alsa"
            )
            raise MidiError(f"{what} ({error})") from error

    def _listen(self, port: Any) -> None:
        port.ignore_types(sysex=True, timing=True, active_sense=True)
        port.set_callback(self._heard)

    def _heard(self, event: tuple[Sequence[int], float], _data: object = None) -> None:
        """Keep a channel message (rtmidi's thread); what nobody takes in time is dropped, oldest first."""
        message = bytes(event[0])
        if not _CHANNEL <= message[0] < _SYSTEM:
            return
        while True:
            try:
                self._waiting.put_nowait(message)
                return
            except queue.Full:
                self.take(0, 1)

    def _is_wanted(self, name: str) -> bool:
        return not name.startswith((_OURS, _LOOP)) and any(word.lower() in name.lower() for word in self._words)

    def _connect(self, kind: Any, name: str) -> Any:
        """Return an object that is connected to a port, None if that has just gone."""
        port = self._open(kind)
        names = port.get_ports()
        if name not in names:
            self._end(port)
            return None
        if kind is rtmidi.MidiIn:
            self._listen(port)
        port.open_port(names.index(name), "port")
        return port

    @staticmethod
    def _end(port: Any) -> None:
        port.close_port()
        port.delete()
