// The engine's side of the rings, and consistent reads of what the audio thread publishes.
//
// Engine thread: nothing here blocks, allocates or enters the kernel. The cursors that count are the private ones in
// jd_segment; the shared copies are stored and never read back.

#include <time.h>

#include <algorithm>

#include "segment_internal.hpp"

using namespace jackdaw;

namespace {

// The reader's input cursor; if it makes no sense, start afresh from it.
uint64_t input_available(jd_segment* segment) {
    const uint64_t in_write = load_acquire(&segment->header->in_write);
    if (in_write - segment->in_read <= segment->input.capacity) return in_write - segment->in_read;
    add(&segment->header->writer_resyncs, 1);
    segment->in_read = in_write;
    store_release(&segment->header->in_read, in_write);
    return 0;
}

// Runs `copy` under a sequence counter until it saw one state; gives up after a while (a writer that died half-way).
template <class Copy>
int read_consistently(const uint64_t* sequence, Copy copy) {
    for (int attempt = 0; attempt < 1000; ++attempt) {
        const uint64_t before = load_acquire(sequence);
        if (before == 0) return JD_ERROR_MISSING;
        if ((before & 1U) != 0) continue;
        copy();
        if (load_relaxed(sequence) == before) return 0;
    }
    return JD_ERROR_MISSING;
}

} // namespace

uint64_t jd_load(const uint64_t* field) { return load_acquire(field); }

void jd_store(uint64_t* field, uint64_t value) { store_release(field, value); }

uint64_t jd_now_ns(void) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000000U + static_cast<uint64_t>(now.tv_nsec);
}

int jd_read_anchor(const jd_segment* segment, jd_anchor* anchor) {
    const jd_header* h = segment->header;
    return read_consistently(&h->anchor_seq, [&] {
        *anchor = {load_acquire(&h->anchor_out), load_acquire(&h->anchor_in), load_acquire(&h->anchor_ns)};
    });
}

int jd_read_transport(const jd_segment* segment, jd_transport* transport) {
    const jd_header* h = segment->header;
    return read_consistently(&h->transport_seq, [&] {
        *transport = {load_acquire(&h->transport_state),           load_acquire(&h->transport_frame),
                      load_acquire(&h->transport_bpm),             load_acquire(&h->transport_bar),
                      load_acquire(&h->transport_beat),            load_acquire(&h->transport_tick),
                      load_acquire(&h->transport_beats_per_bar),   load_acquire(&h->transport_beat_type),
                      load_acquire(&h->transport_ns)};
    });
}

int jd_read_told(const jd_segment* segment, jd_told* told) {
    const jd_header* h = segment->header;
    return read_consistently(&h->told_seq, [&] {
        *told = {load_acquire(&h->told_rolling), load_acquire(&h->told_bpm), load_acquire(&h->told_beat),
                 load_acquire(&h->told_beats_per_bar), load_acquire(&h->told_ns)};
    });
}

uint64_t jd_writer_fill(jd_segment* segment) {
    const uint64_t fill = segment->out_write - load_acquire(&segment->header->out_read);
    if (fill <= segment->output.capacity) return fill;
    // The reader follows a cursor that isn't ours: say ours again, and it starts afresh from there.
    store_release(&segment->header->out_write, segment->out_write);
    add(&segment->header->writer_resyncs, 1);
    return segment->output.capacity;
}

int jd_writer_write(jd_segment* segment, const float* interleaved, uint32_t frames) {
    const Ring& ring = segment->output;
    if (frames > ring.capacity - jd_writer_fill(segment)) return JD_ERROR_ARGUMENT;
    for (uint32_t c = 0; c < ring.channels; ++c) {
        float* to = ring.samples + static_cast<size_t>(c) * ring.capacity;
        for (uint32_t i = 0; i < frames; ++i)
            to[(segment->out_write + i) & (ring.capacity - 1)] = interleaved[static_cast<size_t>(i) * ring.channels + c];
    }
    segment->out_write += frames;
    store_release(&segment->header->out_write, segment->out_write);
    return 0;
}

uint64_t jd_writer_input_available(jd_segment* segment) { return input_available(segment); }

int jd_writer_read_input(jd_segment* segment, float* interleaved, uint32_t frames) {
    const Ring& ring = segment->input;
    if (frames > input_available(segment)) return JD_ERROR_ARGUMENT;
    for (uint32_t c = 0; c < ring.channels; ++c) {
        const float* from = ring.samples + static_cast<size_t>(c) * ring.capacity;
        for (uint32_t i = 0; i < frames; ++i)
            interleaved[static_cast<size_t>(i) * ring.channels + c] = from[(segment->in_read + i) & (ring.capacity - 1)];
    }
    segment->in_read += frames;
    store_release(&segment->header->in_read, segment->in_read);
    return 0;
}

uint64_t jd_writer_skip_input(jd_segment* segment, uint64_t frames) {
    const uint64_t skipped = std::min(frames, input_available(segment));
    segment->in_read += skipped;
    store_release(&segment->header->in_read, segment->in_read);
    return skipped;
}

uint32_t jd_writer_read_midi(jd_segment* segment, jd_midi_event* events, uint32_t maximum) {
    uint64_t available = load_acquire(&segment->header->midi_write) - segment->midi_read;
    if (available > JD_MIDI_CAPACITY) {
        add(&segment->header->writer_resyncs, 1);
        segment->midi_read += available;
        available = 0;
    }
    const auto count = static_cast<uint32_t>(std::min<uint64_t>(available, maximum));
    for (uint32_t i = 0; i < count; ++i) {
        events[i] = segment->midi[(segment->midi_read + i) & (JD_MIDI_CAPACITY - 1)];
        events[i].size = std::min<uint32_t>(events[i].size, JD_MIDI_BYTES);
    }
    segment->midi_read += count;
    store_release(&segment->header->midi_read, segment->midi_read);
    return count;
}

void jd_writer_reset(jd_segment* segment) {
    jd_header* header = segment->header;
    store_release(&header->epoch_start, segment->out_write);
    store_release(&header->epoch_reader, load_acquire(&header->reader_instance));
    store_release(&header->epoch, load_relaxed(&header->epoch) + 1);
}

void jd_writer_tell(jd_segment* segment, const jd_told* told) {
    jd_header* h = segment->header;
    sequence_begin(&h->told_seq);
    store_release(&h->told_rolling, told->rolling);
    store_release(&h->told_bpm, told->bpm);
    store_release(&h->told_beat, told->beat);
    store_release(&h->told_beats_per_bar, told->beats_per_bar);
    store_release(&h->told_ns, told->ns);
    sequence_end(&h->told_seq);
}
