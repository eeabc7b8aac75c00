// JACK's callbacks. libjack's functions are handed in as pointers, so that this library needs neither its headers nor to
// be linked with it; the struct below restates what libjack's binary interface lays down.

#include <algorithm>

#include "client.hpp"
#include "jack_position.hpp"
#include "uncancelled.hpp"

using namespace jackdaw;

namespace {

struct JackMidiEvent { // jack_midi_event_t
    uint32_t time;
    size_t size;
    const uint8_t* buffer;
};

float* buffer_of(const jd_jack_api& jack, void* port, uint32_t frames) {
    return port == nullptr ? nullptr : static_cast<float*>(jack.port_get_buffer(port, frames));
}

void stage_midi(jd_client* client, const jd_jack_api& jack, uint32_t frames) {
    void* buffer = jack.port_get_buffer(jack.midi_in, frames);
    if (buffer == nullptr) return;
    if (client->release.exchange(false, std::memory_order_relaxed)) jd_client_midi(client, 0, &system_reset, 1);
    const uint32_t count = jack.midi_get_event_count(buffer);
    for (uint32_t i = 0; i < count; ++i) {
        JackMidiEvent event{};
        if (jack.midi_event_get(&event, buffer, i) != 0 || event.buffer == nullptr) continue;
        jd_client_midi(client, event.time, event.buffer, static_cast<uint32_t>(std::min<size_t>(event.size, 1U << 20U)));
    }
}

jd_transport transport_now(const jd_jack_api& jack) {
    JackPosition position{};
    jd_transport transport{};
    transport.state = static_cast<uint64_t>(static_cast<uint32_t>(jack.transport_query(jack.jack_client, &position)));
    transport.frame = position.frame;
    if ((position.valid & position_has_bbt) != 0 && position.ticks_per_beat > 0.0) {
        transport.bpm = position.beats_per_minute;
        transport.bar = position.bar;
        transport.beat = position.beat;
        transport.tick = static_cast<double>(position.tick) / position.ticks_per_beat;
        transport.beats_per_bar = position.beats_per_bar;
        transport.beat_type = position.beat_type;
    }
    transport.ns = jd_now_ns();
    return transport;
}

void cycle(jd_client* client, uint32_t frames) {
    const jd_jack_api& jack = client->jack;
    const float* in[2] = {buffer_of(jack, jack.audio_in[0], frames), buffer_of(jack, jack.audio_in[1], frames)};
    float* out[2] = {buffer_of(jack, jack.audio_out[0], frames), buffer_of(jack, jack.audio_out[1], frames)};
    if (jack.midi_in != nullptr) stage_midi(client, jack, frames);
    jd_transport transport{};
    if (jack.transport_query != nullptr) {
        transport = transport_now(jack);
        jd_client_transport(client, &transport);
    }
    const uint32_t channels_in = in[0] == nullptr ? 0 : in[1] == nullptr ? 1 : 2;
    const uint32_t channels_out = out[0] == nullptr ? 0 : out[1] == nullptr ? 1 : 2;
    jd_render(client, in, out, channels_in, channels_out, frames, 0);
    float* click = jack.click == nullptr ? nullptr : buffer_of(jack, jack.click, frames);
    if (click != nullptr) client->metronome.render(transport, client->rate.load(std::memory_order_relaxed), click, frames);
    if (client->tap != nullptr)
        jd_tap_push(client->tap, out, in, click, frames, client->freewheel.load(std::memory_order_relaxed) ? 1 : 0);
}

} // namespace

void jd_jack_bind(jd_client* client, const jd_jack_api* api) { client->jack = *api; }

void jd_client_release_notes(jd_client* client) { client->release.store(true, std::memory_order_relaxed); }

void jd_client_set_tap(jd_client* client, jd_tap* tap) { client->tap = tap; }

int jd_jack_process(uint32_t frames, void* context) {
    auto* client = static_cast<jd_client*>(context);
    uncancelled([&] { cycle(client, frames); });
    return 0;
}

int jd_jack_xrun(void* context) {
    auto* client = static_cast<jd_client*>(context);
    uncancelled([&] {
        client->last_xrun_ns.store(jd_now_ns(), std::memory_order_relaxed);
        client->xruns.fetch_add(1, std::memory_order_relaxed);
    });
    return 0;
}

void jd_jack_freewheel(int starting, void* context) {
    uncancelled([&] { jd_client_freewheel(static_cast<jd_client*>(context), starting); });
}
