// What the audio thread hands to the engine: input, notes, the clock anchor and the transport.
//
// Audio thread, RT-safe. It is the only one that stores to these rings and fields.

#include <algorithm>

#include "client.hpp"
#include "realtime.hpp"

using namespace jackdaw;

// Input and MIDI into their rings. Audio goes in whole or not at all, so that the clock anchor stays true within a block;
// the notes of a block that does not fit are kept (a lost note-off would hang) and stand where it should have begun.
void jackdaw::capture(AudioState& a, const float* const* in, uint32_t channels_in, uint32_t frames, float* peaks) noexcept {
    const jd_segment& s = *a.segment;
    jd_header* h = s.header;
    const uint64_t held = a.in_write - load_acquire(&h->in_read);
    const bool fits = held <= s.input.capacity && frames <= s.input.capacity - held;
    for (uint32_t e = 0; e < a.midi_count; ++e) {
        if (a.midi_write - load_acquire(&h->midi_read) >= JD_MIDI_CAPACITY) {
            a.midi_lost += a.midi_count - e;
            break;
        }
        jd_midi_event event = a.midi[e];
        event.frame = a.in_write + (fits ? std::min<uint64_t>(event.frame, frames) : 0);
        s.midi[a.midi_write & (JD_MIDI_CAPACITY - 1)] = event;
        ++a.midi_write;
    }
    store_release(&h->midi_write, a.midi_write); // before in_write: who sees the audio sees its notes
    for (uint32_t c = 0; c < channels_in && c < JD_MAX_CHANNELS; ++c)
        if (in[c] != nullptr) peaks[c] = peak(in[c], frames);
    if (!fits) {
        add(&h->overruns, 1);
        return;
    }
    for (uint32_t c = 0; c < s.input.channels; ++c) {
        const float* from = channels_in == 0 ? nullptr : in[c] != nullptr && c < channels_in ? in[c] : in[0];
        if (from != nullptr) s.input.write(c, a.in_write, from, frames);
        else s.input.clear(c, a.in_write, frames);
    }
    a.in_write += frames;
    store_release(&h->in_write, a.in_write);
}

void jackdaw::publish_anchor(const AudioState& a, uint64_t now) noexcept {
    jd_header* h = a.segment->header;
    sequence_begin(&h->anchor_seq);
    store_release(&h->anchor_out, a.out_read);
    store_release(&h->anchor_in, a.in_write);
    store_release(&h->anchor_ns, now);
    sequence_end(&h->anchor_seq);
}

void jackdaw::publish_transport(const AudioState& a) noexcept {
    jd_header* h = a.segment->header;
    const jd_transport& t = a.transport;
    sequence_begin(&h->transport_seq);
    store_release(&h->transport_state, t.state);
    store_release(&h->transport_frame, t.frame);
    store_release(&h->transport_bpm, t.bpm);
    store_release(&h->transport_bar, t.bar);
    store_release(&h->transport_beat, t.beat);
    store_release(&h->transport_tick, t.tick);
    store_release(&h->transport_beats_per_bar, t.beats_per_bar);
    store_release(&h->transport_beat_type, t.beat_type);
    store_release(&h->transport_ns, t.ns);
    sequence_end(&h->transport_seq);
}
