"""What JACK is told about our latency: the loop through the model, in both directions.

A sound that enters at an input comes back, answered, at the outputs after the loop latency. So an output's capture
latency is the inputs' plus the loop, and an input's playback latency is the outputs' plus the loop. JACK asks through a
callback on its notification thread, never on the audio thread; the control thread says when the loop has changed.
"""

from typing import Any

import jack

from jackdaw.bridge._libjack import CAPTURE, address, ffi, lib

__all__ = ["LatencyReporter"]


class LatencyReporter:
    """Answers JACK's questions about latency for one client.

    Parameters
    ----------
    client
        Opened and not activated.
    inputs
        Ports that sound comes in by.
    outputs
        Ports that the answer goes out by.
    notes
        Ports that notes come in by. They are told how late the answer is; their own lateness is not the sound's.
    loop
        Loop latency in frames to begin with.

    Raises
    ------
    RuntimeError
        If libjack refuses the callback, because the client is active already.
    """

    def __init__(
        self, client: jack.Client, *, inputs: list[Any], outputs: list[Any], notes: list[Any], loop: int = 0
    ) -> None:
        self._client = ffi.cast("void*", address(client._ptr))
        self._inputs = [ffi.cast("void*", address(port._ptr)) for port in inputs]
        self._outputs = [ffi.cast("void*", address(port._ptr)) for port in outputs]
        self._notes = [ffi.cast("void*", address(port._ptr)) for port in notes]
        self._loop = loop
        self._callback = ffi.callback("void(int, void*)", self._answer)
        if lib.jack_set_latency_callback(self._client, self._callback, ffi.NULL) != 0:
            raise RuntimeError("libjack does not take the latency callback")

    @property
    def loop(self) -> int:
        """Loop latency in frames, as JACK is told it."""
        return self._loop

    def tell(self, loop: int) -> bool:
        """Tell JACK a new loop latency in frames; return whether it was new. The client is active."""
        if loop == self._loop:
            return False
        self._loop = loop
        lib.jack_recompute_total_latencies(self._client)
        return True

    def _answer(self, mode: int, _context: Any) -> None:
        """Notification thread: pass the latency of one side on to the other, plus the loop."""
        if mode == CAPTURE:
            sources, targets = self._inputs, self._outputs
        else:
            sources, targets = self._outputs, self._inputs + self._notes
        seen = ffi.new("latency_range_t*")
        ranges = []
        for port in sources:
            lib.jack_port_get_latency_range(port, mode, seen)
            ranges.append((seen.min, seen.max))
        seen.min = min(least for least, _ in ranges) + self._loop
        seen.max = max(most for _, most in ranges) + self._loop
        for port in targets:
            lib.jack_port_set_latency_range(port, mode, seen)
