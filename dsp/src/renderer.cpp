// The block renderer: the one function that turns rings into audio, under JACK and in the plugin alike.
//
// Audio thread. Reads the output ring and moves its cursor; what goes the other way is in capture.cpp, what is counted in
// account.cpp.
// Invariants:
//   - While the gate is open, the last `fade` frames of the ring are held back: whatever happens, a fade-out is possible.
//   - With the gate open, no tail and volume 1, samples pass bit-exactly.
//   - Music left behind (older epoch, stale, other segment) rings out of a private tail under the new music's fade-in:
//     raised-cosine-like gains that add up to one, so that a crossfade of equals changes nothing.
//   - After an underrun, as at the start, music begins when half of the writer's target is there (and two fades beyond
//     the block): one event is one gap, not a chatter of them.

#include <time.h>

#include <algorithm>

#include "client.hpp"
#include "realtime.hpp"

using namespace jackdaw;

namespace {

// Smooth step: 0 to 1 with level ends; shape(x) + shape(1 - x) = 1.
float shape(float x) noexcept { return x * x * (3.0F - 2.0F * x); }

float gain_at(const AudioState& a, int64_t level) noexcept {
    return level <= 0 ? 0.0F : level >= a.fade ? 1.0F : shape(static_cast<float>(level) / static_cast<float>(a.fade));
}

// How the level moves from frame to frame.
int slope(const AudioState& a) noexcept { return a.gate == Gate::opening ? 1 : a.gate == Gate::closing ? -1 : 0; }

bool is_playing(const AudioState& a) noexcept { return a.gate == Gate::opening || a.gate == Gate::open; }

void shut(AudioState& a) noexcept {
    a.gate = Gate::closed;
    a.level = 0;
}

uint64_t fill(const AudioState& a) noexcept { return a.out_write - a.out_read; }

void adopt_rate(jd_client* client, AudioState& a) noexcept {
    const uint32_t rate = client->rate.load(std::memory_order_relaxed);
    if (rate == a.rate) return;
    a.rate = rate;
    const uint32_t before = a.fade;
    a.fade = std::clamp<uint32_t>(static_cast<uint32_t>(uint64_t{rate} * JD_FADE_MS / 1000), 16, JD_MAX_FADE);
    a.level = a.level == before ? a.fade : std::min(a.level, a.fade);
}

// Put what the gate was letting through, fading out, behind what is ringing already; then the gate is closed.
void leave_music(AudioState& a) noexcept {
    const uint32_t rest = a.tail_end - a.tail_at;
    for (auto& channel : a.tail) std::copy(channel + a.tail_at, channel + a.tail_end, channel);
    a.tail_at = 0;
    a.tail_end = rest;
    if (a.gate == Gate::closed || a.segment == nullptr) return;
    const auto count = static_cast<uint32_t>(std::min<uint64_t>(a.fade, fill(a)));
    for (auto& channel : a.tail)
        if (count > rest) std::fill(channel + rest, channel + count, 0.0F);
    for (uint32_t at = 0; at < count; at += chunk_frames) {
        const uint32_t part = std::min(chunk_frames, count - at);
        for (uint32_t c = 0; c < JD_MAX_CHANNELS; ++c) {
            a.segment->output.read(std::min(c, a.segment->output.channels - 1), a.out_read + at, a.scratch[c], part);
            for (uint32_t i = 0; i < part; ++i)
                a.tail[c][at + i] += sane(a.scratch[c][i]) * gain_at(a, int64_t{a.level} + slope(a) * (int64_t{at} + i + 1)) *
                                     shape(static_cast<float>(count - at - i - 1) / static_cast<float>(count));
        }
    }
    a.tail_end = std::max(rest, count);
    shut(a);
    add(&a.segment->header->fades, 1);
}

// Jump forward to `cursor`, crossfading.
void skip_to(AudioState& a, uint64_t cursor) noexcept {
    if (cursor == a.out_read) return;
    leave_music(a);
    add(&a.segment->header->dropped_frames, cursor - a.out_read);
    a.out_read = cursor;
}

// Look at the writer's cursor; if it makes no sense, start afresh from it.
void look(AudioState& a) noexcept {
    a.out_write = load_acquire(&a.segment->header->out_write);
    if (fill(a) <= a.segment->output.capacity) return;
    add(&a.segment->header->reader_resyncs, 1);
    shut(a);
    a.out_read = a.out_write;
}

// Pass over the music that was made for a reader before this one: an epoch of its own will begin. Looked at before.
void pass_over(AudioState& a) noexcept {
    const jd_header* h = a.segment->header;
    const uint64_t served = load_acquire(&h->epoch_reader);
    if (served != 0 && served != load_relaxed(&h->reader_instance)) a.out_read = a.out_write;
}

// Follow the writer: a new epoch leaves the music before it behind.
void follow(AudioState& a) noexcept {
    const jd_header* h = a.segment->header;
    const uint64_t epoch = load_acquire(&h->epoch); // before epoch_start, before out_write
    const uint64_t epoch_start = load_acquire(&h->epoch_start);
    look(a);
    if (epoch == a.epoch) return pass_over(a);
    a.epoch = epoch;
    a.dry = false;
    if (epoch_start - a.out_read <= fill(a)) skip_to(a, epoch_start);
    pass_over(a);
}

bool playable(const jd_client* client, const AudioState& a) noexcept {
    const jd_header* h = a.segment->header;
    const uint64_t dead = client->dead_instance.load(std::memory_order_relaxed);
    return client->armed.load(std::memory_order_relaxed) && !client->stop.load(std::memory_order_relaxed) &&
           load_relaxed(&h->ring_rate) == a.rate && (dead == 0 || load_acquire(&h->writer_instance) != dead);
}

bool writer_is_stopping(const AudioState& a) noexcept {
    return (load_relaxed(&a.segment->header->flags_writer) & 1U) != 0;
}

// Frames that must be there for the music to begin with a block of `frames`.
uint64_t start_level(const AudioState& a, uint32_t frames) noexcept {
    const uint64_t least = uint64_t{frames} + 2 * uint64_t{a.fade};
    if (writer_is_stopping(a)) return 2 * uint64_t{a.fade};
    const uint64_t half = load_relaxed(&a.segment->header->out_target) / 2;
    return std::min<uint64_t>(std::max(half, least), a.segment->output.capacity / 2);
}

// Freewheel and offline: sleep until the block can be had, the writer ends, or it makes no frame for too long. Not
// RT-safe, and not meant to be: there is no deadline.
void wait_for_writer(const jd_client* client, AudioState& a, uint32_t frames) noexcept {
    const uint64_t patience = client->patience_ns.load(std::memory_order_relaxed);
    uint64_t seen = a.out_write;
    uint64_t since = jd_now_ns();
    for (;;) {
        const uint64_t need = a.gate == Gate::open ? uint64_t{frames} + a.fade : start_level(a, frames);
        if (fill(a) >= std::min<uint64_t>(need, a.segment->output.capacity) || writer_is_stopping(a)) return;
        if (!playable(client, a) || client->wanted.load(std::memory_order_relaxed) != a.segment) return;
        const uint64_t now = jd_now_ns();
        if (a.out_write != seen) {
            seen = a.out_write;
            since = now;
        } else if (now - since > patience) {
            return;
        }
        const timespec time{0, 100000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr);
        follow(a);
    }
}

// What the writer and the control thread decided since the last block: epoch, staleness, where the gate goes.
void decide(const jd_client* client, AudioState& a, uint32_t frames, bool waiting) noexcept {
    jd_header* h = a.segment->header;
    const bool armed = client->armed.load(std::memory_order_relaxed);
    if (armed && !a.was_armed) store_relaxed(&h->low_water, ~uint64_t{0});
    a.was_armed = armed;
    store_relaxed(&h->armed, uint64_t{armed});
    store_relaxed(&h->freewheel, uint64_t{waiting});

    follow(a);
    bool can_play = playable(client, a);
    if (waiting && can_play) {
        wait_for_writer(client, a, frames);
        can_play = playable(client, a) && client->wanted.load(std::memory_order_relaxed) == a.segment;
    } else if (can_play) {
        const uint64_t limit = load_relaxed(&h->out_limit);
        const uint64_t keep = std::max(load_relaxed(&h->out_target), start_level(a, frames));
        if (limit != 0 && fill(a) > std::max(limit, keep)) skip_to(a, a.out_write - keep);
    }
    if (a.gate == Gate::closed && can_play && fill(a) >= start_level(a, frames)) a.gate = Gate::opening;
    if (!can_play || is_playing(a)) a.dry = false;
    if (is_playing(a) && fill(a) < load_relaxed(&h->low_water)) store_relaxed(&h->low_water, fill(a));
    a.play = can_play;
}

// Take `count` frames through the gate into scratch + at.
void take(AudioState& a, uint32_t at, uint32_t count) noexcept {
    const int move = slope(a);
    for (uint32_t c = 0; c < JD_MAX_CHANNELS; ++c) {
        float* to = a.scratch[c] + at;
        a.segment->output.read(std::min(c, a.segment->output.channels - 1), a.out_read, to, count);
        for (uint32_t i = 0; i < count; ++i) to[i] = sane(to[i]);
        if (move != 0)
            for (uint32_t i = 0; i < count; ++i) to[i] *= gain_at(a, int64_t{a.level} + move * (int64_t{i} + 1));
    }
    a.level = static_cast<uint32_t>(int64_t{a.level} + move * int64_t{count});
    a.out_read += count;
    if (a.level == a.fade && a.gate == Gate::opening) a.gate = Gate::open;
    if (a.level == 0 && a.gate == Gate::closing) a.gate = Gate::closed;
}

// How many frames the gate lets through before it changes, at most `want`; 0: it must change now.
uint32_t passable(const AudioState& a, uint32_t want) noexcept {
    const uint64_t left = fill(a);
    switch (a.gate) {
        case Gate::open: return static_cast<uint32_t>(a.play && left > a.fade ? std::min<uint64_t>(want, left - a.fade) : 0);
        case Gate::opening: // each frame lowers what is left and raises what a fade-out needs
            return static_cast<uint32_t>(left > a.level ? std::min<uint64_t>({want, a.fade - a.level, (left - a.level) / 2}) : 0);
        case Gate::closing: return static_cast<uint32_t>(std::min<uint64_t>({want, a.level, left}));
        case Gate::closed: break;
    }
    return 0;
}

// Fill the scratch with `count` frames. The gate changes at most three times on the way.
void produce(AudioState& a, uint32_t count) noexcept {
    uint32_t done = 0;
    while (done < count && a.gate != Gate::closed) {
        const uint32_t run = passable(a, count - done);
        if (run != 0) {
            take(a, done, run);
            done += run;
        } else if (is_playing(a)) { // told to stop, or the ring is dry but for the fade-out
            jd_header* h = a.segment->header;
            a.gate = Gate::closing;
            add(&h->fades, 1);
            a.dry = a.play && !writer_is_stopping(a);
            if (a.dry) add(&h->underruns, 1);
        } else { // nothing left to fade out: only if the cursors jumped
            shut(a);
        }
    }
    if (done == count) return;
    for (auto& channel : a.scratch) std::fill(channel + done, channel + count, 0.0F);
    if (a.dry) add(&a.segment->header->underrun_frames, count - done);
}

// Add what rings, then the volume.
void finish(AudioState& a, uint32_t count) noexcept {
    const uint32_t ringing = std::min(count, a.tail_end - a.tail_at);
    for (uint32_t c = 0; c < JD_MAX_CHANNELS; ++c)
        for (uint32_t i = 0; i < ringing; ++i) a.scratch[c][i] += a.tail[c][a.tail_at + i];
    a.tail_at += ringing;
    const uint32_t gliding = std::min(count, a.volume_left);
    for (auto& channel : a.scratch) {
        for (uint32_t i = 0; i < gliding; ++i) channel[i] *= a.volume + a.volume_step * static_cast<float>(i + 1);
    }
    a.volume_left -= gliding;
    a.volume = a.volume_left == 0 ? a.volume_target : a.volume + a.volume_step * static_cast<float>(gliding);
    for (auto& channel : a.scratch)
        for (uint32_t i = gliding; i < count; ++i) channel[i] *= a.volume;
}

void aim_volume(const jd_client* client, AudioState& a) noexcept {
    const float target = client->volume.load(std::memory_order_relaxed);
    if (target == a.volume_target) return;
    a.volume_target = target;
    a.volume_left = std::max<uint32_t>(1, a.rate / 1000 * JD_VOLUME_RAMP_MS);
    a.volume_step = (target - a.volume) / static_cast<float>(a.volume_left);
}

} // namespace

void jackdaw::exchange_segment(jd_client* client, jd_segment* segment) noexcept {
    AudioState& a = client->audio;
    if (a.segment != nullptr) {
        leave_music(a);
        store_relaxed(&a.segment->header->armed, uint64_t{0});
    }
    a.segment = segment;
    shut(a);
    a.dry = false;
    a.was_armed = false;
    if (segment != nullptr) {
        const jd_header* h = segment->header;
        a.out_read = load_acquire(&h->out_read);
        a.in_write = load_acquire(&h->in_write);
        a.midi_write = load_acquire(&h->midi_write);
        a.epoch = load_acquire(&h->epoch);
        const uint64_t epoch_start = load_acquire(&h->epoch_start);
        look(a);
        if (epoch_start - a.out_read <= fill(a)) a.out_read = epoch_start; // it may have begun while nobody read
        pass_over(a);
    }
    client->rendering.store(segment);
}

void jd_client_midi(jd_client* client, uint32_t offset, const uint8_t* bytes, uint32_t size) {
    AudioState& a = client->audio;
    if (size == 0 || size > JD_MIDI_BYTES) {
        ++a.midi_lost;
        return;
    }
    if (a.midi_count == midi_staged) {
        ++a.midi_lost;
        a.midi[midi_staged - 1].size = 1;
        a.midi[midi_staged - 1].bytes[0] = system_reset;
        return;
    }
    jd_midi_event& event = a.midi[a.midi_count++];
    event = {};
    event.frame = offset;
    event.size = size;
    std::memcpy(event.bytes, bytes, size);
}

void jd_client_transport(jd_client* client, const jd_transport* transport) {
    client->audio.transport = *transport;
    client->audio.transport_new = true;
}

void jd_render(jd_client* client, const float* const* in, float* const* out, uint32_t channels_in, uint32_t channels_out,
               uint32_t frames, uint32_t flags) {
    const uint64_t start = jd_now_ns();
    if (client->busy.exchange(true, std::memory_order_acquire)) { // being handed over by the control thread
        for (uint32_t c = 0; c < channels_out; ++c) std::fill(out[c], out[c] + frames, 0.0F);
        return;
    }
    const FlushDenormals flush;
    AudioState& a = client->audio;
    adopt_rate(client, a);
    jd_segment* wanted = client->wanted.load();
    if (wanted != a.segment) exchange_segment(client, wanted);
    const bool waiting = (flags & JD_RENDER_OFFLINE) != 0 || client->freewheel.load(std::memory_order_relaxed);
    float peak_in[2] = {0.0F, 0.0F};
    float peak_out[2] = {0.0F, 0.0F};
    if (a.segment != nullptr) {
        decide(client, a, frames, waiting);
        publish_anchor(a, start);
        if (a.transport_new) publish_transport(a);
        if (a.was_armed) capture(a, in, channels_in, frames, peak_in); // before out is written: it may be the same memory
    }
    a.transport_new = false;
    aim_volume(client, a);
    for (uint32_t at = 0; at < frames;) {
        const uint32_t count = std::min(chunk_frames, frames - at);
        produce(a, count);
        finish(a, count);
        for (uint32_t c = 0; c < JD_MAX_CHANNELS; ++c) peak_out[c] = std::max(peak_out[c], peak(a.scratch[c], count));
        if (channels_out == 1)
            for (uint32_t i = 0; i < count; ++i) out[0][at + i] = 0.5F * (a.scratch[0][i] + a.scratch[1][i]);
        else
            for (uint32_t c = 0; c < channels_out; ++c)
                std::copy(a.scratch[c < 2 ? c : 0], a.scratch[c < 2 ? c : 0] + count, out[c] + at);
        at += count;
    }
    if (a.gate == Gate::closed && a.tail_at == a.tail_end && client->stop.load(std::memory_order_relaxed))
        client->stopped.store(true, std::memory_order_relaxed);
    if (a.segment != nullptr) {
        jd_header* h = a.segment->header;
        store_release(&h->out_read, a.out_read);
        add(&h->midi_dropped, a.midi_lost);
        account(client, h, peak_in, peak_out, frames, waiting ? 0 : start);
    }
    a.midi_count = 0;
    a.midi_lost = 0;
    client->period_ns.store(uint64_t{frames} * 1000000000U / std::max<uint32_t>(a.rate, 1), std::memory_order_relaxed);
    client->busy.store(false, std::memory_order_release);
}
