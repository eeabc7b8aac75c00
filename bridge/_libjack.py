"""The functions of libjack that JACK-Client does not wrap, taken from the very library that it has opened.

Callbacks of the audio thread are C functions of the native core: installed by address, they never meet the interpreter.
"""

from typing import Any

import jack
from cffi import FFI

from jackdaw.dsp import ffi as core_ffi
from jackdaw.dsp import lib as core

__all__ = ["CAPTURE", "address", "bind", "ffi", "install", "lib"]

CAPTURE = 0  # JackCaptureLatency; 1 is JackPlaybackLatency

ffi = FFI()
ffi.cdef(
    """
    typedef struct { uint32_t min; uint32_t max; } latency_range_t;
    int jack_set_process_callback(void* client, int (*callback)(uint32_t, void*), void* context);
    int jack_set_xrun_callback(void* client, int (*callback)(void*), void* context);
    int jack_set_freewheel_callback(void* client, void (*callback)(int, void*), void* context);
    int jack_set_latency_callback(void* client, void (*callback)(int mode, void*), void* context);
    void jack_port_get_latency_range(void* port, int mode, latency_range_t* range);
    void jack_port_set_latency_range(void* port, int mode, latency_range_t* range);
    int jack_recompute_total_latencies(void* client);
    void* jack_port_get_buffer(void* port, uint32_t frames);
    uint32_t jack_midi_get_event_count(void* buffer);
    int jack_midi_event_get(void* event, void* buffer, uint32_t index);
    int jack_transport_query(const void* client, void* position);
    """
)
lib: Any = ffi.dlopen(jack._libname)


def address(pointer: Any) -> int:
    """Return the address that a pointer of any cffi instance holds."""
    return int(ffi.cast("uintptr_t", int(core_ffi.cast("uintptr_t", pointer))))


def _function(name: str) -> Any:
    """Return a function of libjack as a pointer of the core's cffi instance."""
    kind = "jd_jack_api"
    field = dict(core_ffi.typeof(kind).fields)[name.removeprefix("jack_")]
    return core_ffi.cast(field.type, int(ffi.cast("uintptr_t", ffi.addressof(lib, name))))


def bind(client: jack.Client, context: Any, *, inputs: list[Any], outputs: list[Any], midi: Any) -> None:
    """Tell the core which libjack functions and ports to use.

    Parameters
    ----------
    client
        Opened and not activated.
    context
        The core's ``jd_client*``.
    inputs, outputs
        Two audio ports each, of JACK-Client.
    midi
        The MIDI input port.
    """
    api = core_ffi.new("jd_jack_api*")
    for name in ("port_get_buffer", "midi_get_event_count", "midi_event_get", "transport_query"):
        setattr(api, name, _function(f"jack_{name}"))
    api.jack_client = core_ffi.cast("void*", address(client._ptr))
    for channel in range(2):
        api.audio_in[channel] = core_ffi.cast("void*", address(inputs[channel]._ptr))
        api.audio_out[channel] = core_ffi.cast("void*", address(outputs[channel]._ptr))
    api.midi_in = core_ffi.cast("void*", address(midi._ptr))
    core.jd_jack_bind(context, api)


def install(client: jack.Client, context: Any) -> None:
    """Install the core's process, xrun and freewheel callbacks.

    Raises
    ------
    RuntimeError
        If libjack refuses, because the client is active already.
    """
    for name, kind in (
        ("process", "int(*)(uint32_t, void*)"),
        ("xrun", "int(*)(void*)"),
        ("freewheel", "void(*)(int, void*)"),
    ):
        function = ffi.cast(kind, address(core_ffi.addressof(core, f"jd_jack_{name}")))
        setter = getattr(lib, f"jack_set_{name}_callback")
        if setter(ffi.cast("void*", address(client._ptr)), function, ffi.cast("void*", address(context))) != 0:
            raise RuntimeError(f"libjack does not take the {name} callback")
