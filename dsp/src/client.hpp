// The state of a rendering client: what the control thread asks for, and what only the audio thread touches.
//
// `wanted` and the atomics below it are stored by the control thread and read by the audio thread at each block's start.
// `audio` belongs to whoever holds `busy`: the audio thread takes it for the length of a block and never waits for it;
// the control thread takes it only when no block has come for a while.
#pragma once

#include <atomic>

#include "metronome.hpp"
#include "segment_internal.hpp"

namespace jackdaw {

constexpr uint32_t chunk_frames = 1024; // a block is rendered in chunks of at most this
constexpr uint32_t midi_staged = 256;   // events of one block
constexpr uint8_t system_reset = 0xFF;  // of MIDI: lets go of all notes

// The gate through which music passes. A movement once begun is played to its end: turning half-way would be a kink.
enum class Gate : uint8_t { closed, opening, open, closing };

struct AudioState {
    jd_segment* segment = nullptr;
    uint32_t rate = 0;
    uint32_t fade = 240;          // frames of a fade: JD_FADE_MS at `rate`
    // Our own cursors: the shared copies are only ever stored.
    uint64_t out_read = 0;
    uint64_t in_write = 0;
    uint64_t midi_write = 0;
    uint64_t out_write = 0;       // the writer's, as seen at the start of this block
    uint64_t epoch = 0;
    // Invariant while the gate is not closed: at least `level` frames are left in the ring, so that a fade-out is possible.
    Gate gate = Gate::closed;
    uint32_t level = 0;           // 0 = silent, `fade` = straight through
    bool play = false;            // this block is to be played, as far as there is music
    bool dry = false;             // an underrun is going on
    bool was_armed = false;
    // What still rings of music that was left behind (epoch, stale drop, hand-over), its fade-out already applied.
    float tail[JD_MAX_CHANNELS][JD_MAX_FADE] = {};
    uint32_t tail_at = 0;
    uint32_t tail_end = 0;
    // Volume, gliding.
    float volume = 1.0F;
    float volume_target = 1.0F;
    float volume_step = 0.0F;
    uint32_t volume_left = 0;
    // Staged for the next block.
    jd_midi_event midi[midi_staged] = {};
    uint32_t midi_count = 0;
    uint32_t midi_lost = 0;
    jd_transport transport = {};
    bool transport_new = false;
    float scratch[JD_MAX_CHANNELS][chunk_frames] = {};
};

} // namespace jackdaw

struct jd_client {
    // control thread -> audio thread
    std::atomic<jd_segment*> wanted{nullptr};
    std::atomic<uint32_t> rate{48000};
    std::atomic<bool> armed{false};
    std::atomic<bool> freewheel{false};
    std::atomic<bool> stop{false};
    std::atomic<bool> release{false};    // all notes off, once
    std::atomic<float> volume{1.0F};
    std::atomic<uint64_t> dead_instance{0};
    std::atomic<uint64_t> patience_ns{10000000000U};
    std::atomic<uint64_t> xruns{0};      // told by the server, not yet counted in a segment
    std::atomic<uint64_t> last_xrun_ns{0};
    // audio thread -> control thread
    std::atomic<jd_segment*> rendering{nullptr};
    std::atomic<bool> stopped{false};
    std::atomic<uint64_t> period_ns{0}; // of the last block; 0 = none was rendered yet

    std::atomic<bool> busy{false};
    jackdaw::AudioState audio;
    jd_jack_api jack = {};
    jd_tap* tap = nullptr;
    jackdaw::Metronome metronome; // audio thread
};

namespace jackdaw {

// Let go of the present segment and take the wanted one. Holder of `busy`; RT-safe.
void exchange_segment(jd_client* client, jd_segment* segment) noexcept;

} // namespace jackdaw
