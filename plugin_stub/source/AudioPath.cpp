#include "AudioPath.h"

namespace jackdaw {
namespace {

constexpr double glideSeconds = 0.020;
constexpr double delaySeconds = 4.0; // most latency that the dry signal can follow

void raise(std::atomic<float>& peak, float value) noexcept {
    if (value > peak.load(std::memory_order_relaxed)) peak.store(value, std::memory_order_relaxed);
}

} // namespace

void AudioPath::prepare(double rate, int block) {
    part_ = juce::jlimit(1, mostFrames, block);
    glideFrames_ = juce::roundToInt(rate * glideSeconds);
    for (auto* buffers : {heard_, music_, input_})
        for (int c = 0; c < 2; ++c) buffers[c].assign(static_cast<size_t>(mostFrames), 0.0F);
    delay_.prepare(juce::roundToInt(rate * delaySeconds), glideFrames_);
    delay_.aim(latency_);
    delay_.settle();
    aim();
    wet_.settle();
    dry_.settle();
}

void AudioPath::aim() noexcept {
    const bool bypassed = parameters_["bypass"].isOn();
    const ParameterRow& row = parameters_["volume"].row();
    const float volume = parameters_["mute"].isOn() ? 0.0F : gainOfDecibels(parameters_["volume"].plain(), row.minimum);
    const float share = parameters_["mix"].plain() / 100.0F;
    wet_.aim(bypassed ? 0.0F : volume * share, glideFrames_);
    dry_.aim(bypassed ? 1.0F : volume * (1.0F - share), glideFrames_);
    delay_.aim(latency_.load(std::memory_order_relaxed));
}

void AudioPath::rest() noexcept {
    jd_client_arm(client_, 0);
    float* out[2] = {music_[0].data(), music_[1].data()};
    for (int done = 0; done < 2 * JD_MAX_FADE; done += part_)
        jd_render(client_, nullptr, out, 0, 2, static_cast<uint32_t>(part_), 0);
    aim();
    wet_.settle();
    dry_.settle();
    delay_.clear();
    delay_.settle();
}

// What the model hears (main input and sidechain), and a copy of the main input.
void AudioPath::gather(const Buses& buses, int at, int count) noexcept {
    for (int c = 0; c < 2; ++c) {
        float* input = input_[c].data();
        float* heard = heard_[c].data();
        if (buses.main.count > 0)
            juce::FloatVectorOperations::copy(input, buses.main.channels[std::min(c, buses.main.count - 1)] + at, count);
        else
            juce::FloatVectorOperations::clear(input, count);
        juce::FloatVectorOperations::copy(heard, input, count);
        if (buses.side.count > 0)
            juce::FloatVectorOperations::add(heard, buses.side.channels[std::min(c, buses.side.count - 1)] + at, count);
    }
}

void AudioPath::mix(const Bus& out, int at, int count) noexcept {
    const bool mono = out.count == 1;
    const bool plain = wet_.rests() && dry_.rests() && wet_.target() == 1.0F && dry_.target() == 0.0F;
    for (int i = 0; i < count; ++i) {
        const auto n = static_cast<size_t>(i);
        float left = input_[0][n], right = input_[1][n];
        delay_.pass(left, right); // also if it is not heard: it may be in the next block
        if (plain) continue;
        const float wet = wet_.next(), dry = dry_.next();
        if (mono) left = 0.5F * (left + right);
        music_[0][n] = music_[0][n] * wet + left * dry;
        music_[1][n] = music_[1][n] * wet + right * dry;
    }
    for (int c = 0; c < out.count; ++c) juce::FloatVectorOperations::copy(out.channels[c] + at, music_[c].data(), count);
}

void AudioPath::render(const Buses& buses, const juce::MidiBuffer& midi, bool offline) noexcept {
    aim();
    for (int at = 0; at < buses.frames; at += part_) {
        const int count = std::min(part_, buses.frames - at);
        gather(buses, at, count);
        for (const auto event : midi)
            if (event.samplePosition >= at && event.samplePosition < at + count)
                jd_client_midi(client_, static_cast<uint32_t>(event.samplePosition - at), event.data,
                               static_cast<uint32_t>(event.numBytes));
        const float* in[2] = {heard_[0].data(), heard_[1].data()};
        float* music[2] = {music_[0].data(), music_[1].data()};
        const auto channels = static_cast<uint32_t>(buses.out.count);
        jd_render(client_, in, music, 2, channels, static_cast<uint32_t>(count), offline ? JD_RENDER_OFFLINE : 0);
        mix(buses.out, at, count);
        for (int c = 0; c < 2; ++c) {
            const float* output = buses.out.channels[std::min(c, buses.out.count - 1)] + at;
            raise(peaks_[0][c], juce::FloatVectorOperations::findMaximum(output, count));
            raise(peaks_[0][c], -juce::FloatVectorOperations::findMinimum(output, count));
            raise(peaks_[1][c], juce::FloatVectorOperations::findMaximum(heard_[c].data(), count));
            raise(peaks_[1][c], -juce::FloatVectorOperations::findMinimum(heard_[c].data(), count));
        }
    }
}

} // namespace jackdaw
