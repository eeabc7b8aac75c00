"""Which ports ours are connected to: the default at first, then what the user made of it, over server restarts too."""

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import jack

__all__ = ["Connections"]


class Connections:
    """Remembers connections by port name; outlives the JACK client. Control thread only.

    Parameters
    ----------
    automatic
        Connect to the hardware at first.
    hear_from
        Connect the inputs to this client at first, and not to the hardware.
    click
        Connect the metronome to the hardware at first.
    """

    def __init__(self, *, automatic: bool, hear_from: str | None = None, click: bool = False) -> None:
        self._automatic = automatic
        self._click = click
        self._hear_from = hear_from
        self._remembered: set[tuple[str, str]] | None = None
        self._devices: set[str] = set()

    @property
    def were_made(self) -> bool:
        """Whether a client was connected before."""
        return self._remembered is not None

    def make(self, client: jack.Client) -> list[str]:
        """Connect an active client as it was before, or to the hardware if it never was; return what failed."""
        if self._remembered is not None:
            wanted = [(self._full(client, a), self._full(client, b)) for a, b in sorted(self._remembered)]
        else:
            wanted = _hardware(client, capture=self._hear_from is None) if self._automatic else []
            wanted += self._heard(client)
            wanted += _metronome(client) if self._click else []
        self._devices = _devices(client)
        failed = []
        if self._remembered is None and self._hear_from is not None and not self._heard(client):
            failed.append(f"{self._hear_from} -> {client.name}: no client of that name has outputs")
        for source, target in wanted:
            try:
                client.connect(source, target)
            except jack.JackError:
                failed.append(f"{source} -> {target}")
        return failed

    def _heard(self, client: jack.Client) -> list[tuple[str, str]]:
        """Return connections from the first two outputs of the client that is to be heard."""
        if self._hear_from is None:
            return []
        ports = client.get_ports(f"^{re.escape(self._hear_from)}:", is_audio=True, is_output=True)
        return _pairs(ports[:2], list(client.inports))

    def look(self, client: jack.Client) -> tuple[set[str], set[str]]:
        """Connect MIDI devices that have come, once each, if wanted; return which have come and which have gone."""
        before, self._devices = self._devices, _devices(client)
        come, gone = self._devices - before, before - self._devices
        for source in sorted(come) if self._automatic else ():
            with contextlib.suppress(jack.JackError):  # connected already, or gone again
                client.connect(source, client.midi_inports[0])
        return come, gone

    def remember(self, client: jack.Client) -> None:
        """Note how the active client is connected now."""
        found = set()
        for port in (*client.inports, *client.midi_inports):
            found |= {(other.name, ":" + port.shortname) for other in client.get_all_connections(port)}
        for port in client.outports:
            found |= {(":" + port.shortname, other.name) for other in client.get_all_connections(port)}
        self._remembered = found

    @staticmethod
    def _full(client: jack.Client, name: str) -> str:
        """Put our client's present name before our own ports, which are kept without it."""
        return client.name + name if name.startswith(":") else name


def _pairs(sources: Sequence[Any], targets: Sequence[Any]) -> list[tuple[str, str]]:
    """Pair sources and targets one to one; a single source goes to every target."""
    if len(sources) == 1:
        return [(sources[0].name, target.name) for target in targets]
    return [(source.name, target.name) for source, target in zip(sources, targets, strict=False)]


def _devices(client: jack.Client) -> set[str]:
    """Return the names of the MIDI sources that are hardware."""
    return {port.name for port in client.get_ports(is_physical=True, is_midi=True, is_output=True)}


def _metronome(client: jack.Client) -> list[tuple[str, str]]:
    """Return connections from our click to the first two playback channels."""
    playback = client.get_ports(is_physical=True, is_audio=True, is_input=True)
    return _pairs([port for port in client.outports if port.shortname == "click"], playback[:2])


def _hardware(client: jack.Client, *, capture: bool) -> list[tuple[str, str]]:
    """Return connections to the first two playback and, if wanted, capture channels, and to every MIDI source."""
    playback = client.get_ports(is_physical=True, is_audio=True, is_input=True)
    inputs = client.get_ports(is_physical=True, is_audio=True, is_output=True) if capture else []
    pairs = _pairs(list(client.outports), playback[:2]) + _pairs(inputs[:2], list(client.inports))
    return pairs + [(source, port.name) for source in sorted(_devices(client)) for port in client.midi_inports]
