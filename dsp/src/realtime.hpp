// Small things that an audio callback needs around its work. Audio thread, RT-safe.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include <jackdaw/segment.h>

struct jd_client;

namespace jackdaw {

struct AudioState;

inline float peak(const float* samples, uint32_t count) noexcept {
    float most = 0.0F;
    for (uint32_t i = 0; i < count; ++i) most = std::max(most, std::fabs(samples[i]));
    return most;
}

// Denormals are flushed to zero while this lives; the host's floating-point mode comes back afterwards.
class FlushDenormals {
  public:
#if defined(__SSE2__)
    FlushDenormals() noexcept : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040U); } // FTZ | DAZ
    ~FlushDenormals() { _mm_setcsr(before_); }
#elif defined(__aarch64__)
    FlushDenormals() noexcept {
        asm volatile("mrs %0, fpcr" : "=r"(before_));
        asm volatile("msr fpcr, %0" ::"r"(before_ | (uint64_t{1} << 24U))); // FZ
    }
    ~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(before_)); }
#else
    FlushDenormals() noexcept = default;
#endif
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;

  private:
#if defined(__SSE2__)
    unsigned int before_;
#elif defined(__aarch64__)
    uint64_t before_;
#endif
};

// Input and staged notes into their rings; `peaks` gets the input's.
void capture(AudioState& state, const float* const* in, uint32_t channels_in, uint32_t frames, float* peaks) noexcept;

void publish_anchor(const AudioState& state, uint64_t now) noexcept;
void publish_transport(const AudioState& state) noexcept;

// Counters, meters and the time that the block took since `start` (ns; 0 = not to be judged).
void account(jd_client* client, jd_header* header, const float* peak_in, const float* peak_out, uint32_t frames,
             uint64_t start) noexcept;

} // namespace jackdaw
