"""One connection to a JACK server: our client, its ports and its callbacks.

Every callback is a C function of the native core. The audio thread renders; what JACK tells besides (shutdown, rate,
period, connections) is counted in a ``jd_news`` and wakes the control thread, which takes it by :meth:`JackClient.news`
and acts. :class:`JackClient` ends with its server; the :class:`jackdaw.dsp.Client` that it renders with goes on to
the next.
"""

import time
from pathlib import Path
from typing import Any

import jack

from jackdaw.bridge import _libjack
from jackdaw.bridge.latency import LatencyReporter
from jackdaw.bridge.server import ServerError, no_server_text
from jackdaw.dsp import Client, ffi

__all__ = ["JackClient"]

_LET_GO_S = 1.0
_PORTS = {
    "in_L": "Heard left",
    "in_R": "Heard right",
    "out_L": "Music left",
    "out_R": "Music right",
    "click": "Metronome",
    "midi_in": "Notes",
}


class JackClient:
    """Our client in a JACK server: ports ``in_L in_R out_L out_R click midi_in``.

    Parameters
    ----------
    name
        Client name that is asked for; the server may add a number.
    server
        Name of the server.
    renderer
        What the audio thread renders with. It must outlive this object.
    loop
        Loop latency in frames to begin with.
    wake
        An eventfd that is written to when there are news; open as long as this object.

    Raises
    ------
    ServerError
        If the server does not take the client; the text says why and what to do.
    """

    def __init__(self, name: str, server: str, renderer: Client, *, loop: int, wake: int) -> None:
        self._counts = ffi.new("jd_news*")
        self._counts.wake = wake
        self._seen = (0, 0, 0)
        self._renderer = renderer
        self._active = False
        try:
            self.jack = jack.Client(name, no_start_server=True, servername=server)
        except jack.JackOpenError as error:
            if error.status.server_failed:
                raise ServerError(no_server_text(server)) from error
            raise ServerError(f"JACK server {server!r} does not take the client {name!r}: {error.status!r}") from error
        inputs = [self.jack.inports.register(port) for port in ("in_L", "in_R")]
        outputs = [self.jack.outports.register(port) for port in ("out_L", "out_R")]
        click = self.jack.outports.register("click")
        midi = self.jack.midi_inports.register("midi_in")
        self._label([*inputs, *outputs, click, midi])
        renderer.set_rate(self.rate)
        _libjack.bind(self.jack, renderer.pointer, inputs=inputs, outputs=outputs, midi=midi, click=click)
        self.latency = LatencyReporter(self.jack, self._counts, inputs=inputs, outputs=outputs, notes=midi, loop=loop)
        _libjack.install(self.jack, renderer.pointer, self._counts)

    def _label(self, ports: list[Any]) -> None:
        """Give the ports names for people; a server without metadata keeps the plain ones."""
        for port in ports:
            try:
                self.jack.set_property(port.uuid, jack.METADATA_PRETTY_NAME, _PORTS[port.shortname], "text/plain")
            except jack.JackError:
                return

    def news(self) -> set[str]:
        """Return what JACK told since the last call: ``shutdown``, ``format``, ``connections``."""
        before, self._seen = self._seen, (self._counts.shutdowns, self._counts.formats, self._counts.connections)
        words = ("shutdown", "format", "connections")
        return {word for word, old, new in zip(words, before, self._seen, strict=True) if new != old}

    @property
    def rate(self) -> int:
        """Sample rate of the server in Hz."""
        return int(self.jack.samplerate)

    @property
    def period(self) -> int:
        """Frames per period of the server."""
        return int(self.jack.blocksize)

    def activate(self) -> None:
        """Let the audio thread begin.

        Raises
        ------
        ServerError
            If the server refuses.
        """
        try:
            self.jack.activate()
        except jack.JackError as error:
            raise ServerError(f"JACK server does not activate the client: {error}") from error
        self._active = True

    def close(self) -> None:
        """End the audio thread and leave the server, which may be gone already."""
        if self._counts.shutdowns:
            self._let_go()
        elif self._active:
            self.jack.deactivate()
        self._active = False
        self.jack.close()

    def _let_go(self) -> None:
        """Wait until libjack's thread that told of the shutdown has ended.

        Closing cancels that thread wherever it is; if it is still on its way out and holds one of libjack's locks, the
        close waits for ever (seen with jackd2 1.9.21, once in about 30 stops of a server on a busy machine).
        """
        thread = Path(f"/proc/self/task/{self._counts.shutdown_thread}")
        deadline = time.monotonic() + _LET_GO_S
        while thread.exists() and time.monotonic() < deadline:
            time.sleep(_LET_GO_S / 200)
