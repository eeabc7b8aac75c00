// From a host's block to a host's block: what the model hears goes into the segment, music comes out, and both are mixed.
//
// Threads: prepare() where the host prepares; all else on the audio thread, RT-safe unless `offline`.
// Invariants:
//   - A block of any length is rendered in parts of at most `mostFrames` and the prepared block: those are the periods
//     that the engine reckons with. Hosts prepare for far more than they render (Ardour: 8192), and latency follows the
//     period; the least buffer of 200 ms holds a whole block of 8192 at 44.1 kHz all the same.
//   - With volume 0 dB, mix 100 %, unmuted and not bypassed, music passes bit-exactly.
//   - The dry signal is as late as the host was told, so that it and the music fit after the host's compensation.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <atomic>

#include "Parameters.h"
#include "Smooth.h"

#include <jackdaw/session.h>

namespace jackdaw {

class AudioPath {
  public:
    AudioPath(const Parameters& parameters, jd_client* client) : parameters_(parameters), client_(client) {}

    static constexpr int mostFrames = 1024; // of a part
    void prepare(double rate, int block);
    bool isPrepared() const noexcept { return part_ > 0; }

    void setLatency(int frames) noexcept { latency_ = frames; } // any thread: what the host was told
    int latency() const noexcept { return latency_.load(std::memory_order_relaxed); } // any thread, RT-safe

    struct Bus { // channels in the host's buffer; none if the bus is off
        float* channels[2] = {nullptr, nullptr};
        int count = 0;
    };
    struct Buses {
        Bus main, side, out; // out has a channel at least, and may be the same memory as the others
        int frames = 0;
    };
    void render(const Buses& buses, const juce::MidiBuffer& midi, bool offline) noexcept;

    // Bring everything that glides or rings to rest, in front of a bounce. The client is disarmed for it.
    void rest() noexcept;

    // Greatest peak since the last call. Message thread.
    float takePeak(bool ofInput, int channel) noexcept { return peaks_[ofInput ? 1 : 0][channel].exchange(0.0F); }

  private:
    void gather(const Buses& buses, int at, int count) noexcept;
    void mix(const Bus& out, int at, int count) noexcept;
    void aim() noexcept;

    const Parameters& parameters_;
    jd_client* const client_;
    int part_ = 0;
    int glideFrames_ = 0;
    std::atomic<int> latency_{0};
    Delay delay_;
    Glide wet_, dry_;
    std::vector<float> heard_[2], music_[2], input_[2];
    std::atomic<float> peaks_[2][2] = {};
};

} // namespace jackdaw
