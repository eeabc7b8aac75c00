// Small pieces of the audio path: a gliding gain, and the delay of the dry signal. Audio thread, RT-safe, except where
// said.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace jackdaw {

// A gain that reaches its target in a straight line.
class Glide {
  public:
    void aim(float target, int frames) noexcept {
        if (target == target_) return;
        target_ = target;
        left_ = std::max(1, frames);
        step_ = (target - now_) / static_cast<float>(left_);
    }
    void settle() noexcept {
        now_ = target_;
        left_ = 0;
    }
    float next() noexcept {
        if (left_ == 0) return target_;
        now_ = --left_ == 0 ? target_ : now_ + step_;
        return now_;
    }
    bool rests() const noexcept { return left_ == 0; }
    float target() const noexcept { return target_; }

  private:
    float now_ = 1.0F, target_ = 1.0F, step_ = 0.0F;
    int left_ = 0;
};

// Two channels, delayed by any number of frames up to what was prepared. A new delay is crossfaded to.
class Delay {
  public:
    void prepare(int mostFrames, int fadeFrames) { // not the audio thread: allocates
        uint32_t size = 1;
        while (size < static_cast<uint32_t>(mostFrames)) size *= 2;
        for (auto& channel : ring_) channel.assign(size, 0.0F);
        fade_ = fadeFrames;
        delay_ = before_ = left_ = 0;
        at_ = 0;
    }
    void clear() noexcept {
        for (auto& channel : ring_) std::fill(channel.begin(), channel.end(), 0.0F);
    }
    void settle() noexcept {
        left_ = 0;
        before_ = delay_;
    }
    void aim(int frames) noexcept {
        const int wanted = std::min(frames, static_cast<int>(ring_[0].size()) - 1);
        if (wanted == delay_ || left_ != 0) return; // one crossfade after the other
        before_ = delay_;
        delay_ = wanted;
        left_ = fade_;
    }
    // Replace a sample of each channel by what went in so long ago.
    void pass(float& left, float& right) noexcept {
        const uint32_t mask = static_cast<uint32_t>(ring_[0].size()) - 1;
        ring_[0][at_ & mask] = left;
        ring_[1][at_ & mask] = right;
        const float share = left_ == 0 ? 1.0F : 1.0F - static_cast<float>(--left_) / static_cast<float>(fade_);
        const uint32_t now = (at_ - static_cast<uint32_t>(delay_)) & mask;
        left = ring_[0][now] * share;
        right = ring_[1][now] * share;
        if (share < 1.0F) {
            const uint32_t then = (at_ - static_cast<uint32_t>(before_)) & mask;
            left += ring_[0][then] * (1.0F - share);
            right += ring_[1][then] * (1.0F - share);
        }
        ++at_;
    }

  private:
    std::vector<float> ring_[2] = {std::vector<float>(1), std::vector<float>(1)};
    int delay_ = 0, before_ = 0, left_ = 0, fade_ = 1;
    uint32_t at_ = 0;
};

inline float gainOfDecibels(float decibels, float silence) noexcept {
    return decibels <= silence ? 0.0F : std::pow(10.0F, decibels / 20.0F);
}

} // namespace jackdaw
