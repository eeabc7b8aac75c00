// Beats are found anew in each block, from the transport's place at its start. That place comes in whole ticks, so that a
// beat seems to wander by a fraction of a millisecond between blocks: as long as it is where the last block expected it,
// the expectation counts, and no beat is struck twice or left out.

#include "metronome.hpp"

#include <cmath>

using namespace jackdaw;

namespace {

constexpr float accent_hertz = 1760.0F;
constexpr float beat_hertz = 1175.0F;
constexpr float accent_level = 0.5F;
constexpr float beat_level = 0.35F;
constexpr float click_seconds = 0.04F;
constexpr float decay_seconds = 0.007F; // to 1/e
constexpr double wander_seconds = 0.002;
constexpr double fastest_bpm = 1000.0;

} // namespace

void Metronome::strike(bool accent, uint32_t rate) noexcept {
    const auto hertz = static_cast<float>(rate);
    const float angle = 6.2831853F * (accent ? accent_hertz : beat_hertz) / hertz;
    turn_real_ = std::cos(angle);
    turn_imaginary_ = std::sin(angle);
    decay_ = std::exp(-1.0F / (decay_seconds * hertz));
    level_ = accent ? accent_level : beat_level;
    real_ = 1.0F;
    imaginary_ = 0.0F; // a sine from 0: no step at its beginning
    left_ = static_cast<uint32_t>(click_seconds * hertz);
}

void Metronome::render(const jd_transport& transport, uint32_t rate, float* out, uint32_t frames) noexcept {
    const bool rolls = transport.state == 1 && transport.bpm > 0.0 && transport.bpm <= fastest_bpm && rate != 0;
    const double per_beat = rolls ? 60.0 * rate / transport.bpm : 0.0;
    const int beats = transport.beats_per_bar >= 1.0F ? static_cast<int>(transport.beats_per_bar) : 1;
    int beat = transport.beat; // from 1: the one that begins next is the one after it
    double at = 0.0;
    if (rolls) {
        at = (1.0 - transport.tick) * per_beat;
        const double wander = wander_seconds * rate;
        if (next_ >= 0.0) {
            if (std::fabs(at - next_) <= wander) {
                at = next_;
            } else if (std::fabs(at - per_beat - next_) <= wander) { // told just after the beat that is due now
                at = next_;
                --beat;
            }
        } else if (at - per_beat > -wander) { // it begins on a beat
            at = std::fmax(at - per_beat, 0.0);
            --beat;
        }
    }
    for (uint32_t i = 0; i < frames; ++i) {
        if (rolls && static_cast<double>(i) >= at) {
            strike(beat % beats == 0, rate);
            at += per_beat;
            ++beat;
        }
        out[i] = left_ == 0 ? 0.0F : level_ * imaginary_;
        if (left_ == 0) continue;
        --left_;
        level_ *= decay_;
        const float real = real_ * turn_real_ - imaginary_ * turn_imaginary_;
        imaginary_ = real_ * turn_imaginary_ + imaginary_ * turn_real_;
        real_ = real;
    }
    next_ = rolls ? std::fmax(at - frames, 0.0) : -1.0;
}
