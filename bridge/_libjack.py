"""The functions of libjack that JACK-Client does not wrap, taken from the very library that it has opened.

Every callback is a C function of the native core, installed by address: neither the audio thread nor libjack's other
threads ever meet the interpreter. (libjack cancels its threads when a client closes; one that is cancelled inside the
interpreter would keep its lock for ever.)
"""

from typing import Any

import jack
from cffi import FFI

from jackdaw.dsp import ffi as core_ffi
from jackdaw.dsp import lib as core

__all__ = ["CAPTURE", "address", "bind", "ffi", "function", "install", "lead_time", "lib", "silence"]

CAPTURE = 0  # JackCaptureLatency; 1 is JackPlaybackLatency

ffi = FFI()
ffi.cdef(
    """
    typedef struct { uint32_t min; uint32_t max; } latency_range_t;
    int jack_set_process_callback(void* client, void* callback, void* context);
    int jack_set_xrun_callback(void* client, void* callback, void* context);
    int jack_set_freewheel_callback(void* client, void* callback, void* context);
    int jack_set_latency_callback(void* client, void* callback, void* context);
    int jack_set_sample_rate_callback(void* client, void* callback, void* context);
    int jack_set_buffer_size_callback(void* client, void* callback, void* context);
    int jack_set_port_connect_callback(void* client, void* callback, void* context);
    void jack_on_info_shutdown(void* client, void* callback, void* context);
    void jack_set_error_function(void* callback);
    void jack_set_info_function(void* callback);
    void jack_port_get_latency_range(void* port, int mode, latency_range_t* range);
    void jack_port_set_latency_range(void* port, int mode, latency_range_t* range);
    int jack_recompute_total_latencies(void* client);
    void* jack_port_get_buffer(void* port, uint32_t frames);
    uint32_t jack_midi_get_event_count(void* buffer);
    int jack_midi_event_get(void* event, void* buffer, uint32_t index);
    int jack_transport_query(const void* client, void* position);
    int jack_set_timebase_callback(void* client, int conditional, void* callback, void* context);
    """
)
lib: Any = ffi.dlopen(jack._libname)


def address(pointer: Any) -> int:
    """Return the address that a pointer of any cffi instance holds."""
    return int(core_ffi.cast("uintptr_t", int(ffi.cast("uintptr_t", pointer))))


def function(name: str, kind: Any) -> Any:
    """Return a function of libjack as a pointer of the core's cffi instance, of a type of the core's."""
    return core_ffi.cast(kind, int(ffi.cast("uintptr_t", ffi.addressof(lib, name))))


def _core(name: str) -> Any:
    """Return the address of a function of the core."""
    return ffi.cast("void*", int(core_ffi.cast("uintptr_t", core_ffi.addressof(core, name))))


def bind(client: jack.Client, context: Any, *, inputs: list[Any], outputs: list[Any], midi: Any, click: Any) -> None:
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
    click
        The metronome's audio output.
    """
    api = core_ffi.new("jd_jack_api*")
    fields = dict(core_ffi.typeof("jd_jack_api").fields)
    for name in ("port_get_buffer", "midi_get_event_count", "midi_event_get", "transport_query"):
        setattr(api, name, function(f"jack_{name}", fields[name].type))
    api.jack_client = core_ffi.cast("void*", address(client._ptr))
    for channel in range(2):
        api.audio_in[channel] = core_ffi.cast("void*", address(inputs[channel]._ptr))
        api.audio_out[channel] = core_ffi.cast("void*", address(outputs[channel]._ptr))
    api.midi_in = core_ffi.cast("void*", address(midi._ptr))
    api.click = core_ffi.cast("void*", address(click._ptr))
    core.jd_jack_bind(context, api)


def install(client: jack.Client, context: Any, news: Any) -> None:
    """Install all callbacks: audio with the core's ``jd_client*``, the others with its ``jd_news*``.

    Raises
    ------
    RuntimeError
        If libjack refuses, because the client is active already.
    """
    ours = ffi.cast("void*", address(client._ptr))
    audio, told = (ffi.cast("void*", int(core_ffi.cast("uintptr_t", pointer))) for pointer in (context, news))
    for name, callback, argument in (
        ("process", "jd_jack_process", audio),
        ("xrun", "jd_jack_xrun", audio),
        ("freewheel", "jd_jack_freewheel", audio),
        ("latency", "jd_news_latency", told),
        ("sample_rate", "jd_news_rate", told),
        ("buffer_size", "jd_news_period", told),
        ("port_connect", "jd_news_connect", told),
    ):
        if getattr(lib, f"jack_set_{name}_callback")(ours, _core(callback), argument) != 0:
            raise RuntimeError(f"libjack does not take the {name} callback")
    lib.jack_on_info_shutdown(ours, _core("jd_news_shutdown"), told)


def lead_time(client: jack.Client, timebase: Any) -> bool:
    """Make an active client the timebase master, with the core's ``jd_timebase*``; False: another one is."""
    ours = ffi.cast("void*", address(client._ptr))
    context = ffi.cast("void*", int(core_ffi.cast("uintptr_t", timebase)))
    return bool(lib.jack_set_timebase_callback(ours, 1, _core("jd_timebase_callback"), context) == 0)


def silence() -> None:
    """Keep libjack from writing to stderr: what matters, calls return."""
    lib.jack_set_error_function(_core("jd_news_discard"))
    lib.jack_set_info_function(_core("jd_news_discard"))
