// The click: a short tone on every beat of the transport, a higher one on the first of a bar. Audio thread, RT-safe.
#pragma once

#include <cstdint>

#include <jackdaw/session.h>

namespace jackdaw {

class Metronome {
  public:
    // Write one block's clicks; `out` is overwritten. Silent unless the transport rolls and has bars and beats.
    void render(const jd_transport& transport, uint32_t rate, float* out, uint32_t frames) noexcept;

  private:
    void strike(bool accent, uint32_t rate) noexcept;

    double next_ = -1.0; // frames from the start of the next block to its next beat, as counted on; below 0: not known
    uint32_t left_ = 0;  // frames of the sounding click
    float level_ = 0.0F;
    float decay_ = 0.0F;
    float real_ = 0.0F;  // a phasor, turned from frame to frame
    float imaginary_ = 0.0F;
    float turn_real_ = 0.0F;
    float turn_imaginary_ = 0.0F;
};

} // namespace jackdaw
