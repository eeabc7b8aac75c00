"""What JACK is told about our latency: the loop through the model, in both directions.

A sound that enters at an input comes back, answered, at the outputs after the loop latency. So an output's capture
latency is the inputs' plus the loop, and an input's playback latency is the outputs' plus the loop. JACK asks on a
thread of its own, where the core answers (``news.h``); the control thread says here when the loop has changed.
"""

from typing import Any

import jack

from jackdaw.bridge import _libjack
from jackdaw.dsp import ffi

__all__ = ["LatencyReporter"]


class LatencyReporter:
    """Lets the core answer JACK's questions about latency for one client.

    Parameters
    ----------
    client
        Opened and not activated.
    news
        The core's ``jd_news*``; its ports, functions and loop are set here.
    inputs, outputs
        Two ports each, that sound comes in by, and that the answer goes out by.
    notes
        Port that notes come in by.
    loop
        Loop latency in frames to begin with.
    """

    def __init__(
        self, client: jack.Client, news: Any, *, inputs: list[Any], outputs: list[Any], notes: Any, loop: int
    ) -> None:
        self._client = _libjack.ffi.cast("void*", _libjack.address(client._ptr))
        self._news = news
        fields = dict(ffi.typeof("jd_news").fields)
        news.get_latency = _libjack.function("jack_port_get_latency_range", fields["get_latency"].type)
        news.set_latency = _libjack.function("jack_port_set_latency_range", fields["set_latency"].type)
        for channel in range(2):
            news.inputs[channel] = ffi.cast("void*", _libjack.address(inputs[channel]._ptr))
            news.outputs[channel] = ffi.cast("void*", _libjack.address(outputs[channel]._ptr))
        news.notes = ffi.cast("void*", _libjack.address(notes._ptr))
        news.loop = loop

    @property
    def loop(self) -> int:
        """Loop latency in frames, as JACK is told it."""
        return int(self._news.loop)

    def tell(self, loop: int) -> bool:
        """Tell JACK a new loop latency in frames; return whether it was new. The client is active."""
        if loop == self.loop:
            return False
        self._news.loop = loop
        _libjack.lib.jack_recompute_total_latencies(self._client)
        return True
