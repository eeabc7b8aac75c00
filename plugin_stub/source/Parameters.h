// The plugin's parameters: one table, made from the engine's, and one class for them all.
//
// Values are whole multiples of a step: what a host stores and gives back is the same number again.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include <array>
#include <atomic>
#include <string_view>

namespace jackdaw {

enum class Taper { linear, log, toggle };

struct ParameterRow {
    const char* name;
    const char* label;
    float minimum, maximum, initial, step;
    const char* unit;
    Taper taper;
    bool engine; // sent to the engine; the others are applied here
    const char* help;
};

inline constexpr ParameterRow parameterTable[] = {
#include "Parameters.inc"
};
inline constexpr int parameterCount = static_cast<int>(std::size(parameterTable));
inline constexpr int promptCount = 6;

constexpr int parameterIndex(std::string_view name) {
    for (int i = 0; i < parameterCount; ++i)
        if (name == parameterTable[i].name) return i;
    return -1;
}

// Weights are the first six rows.
static_assert(parameterIndex("weight_1") == 0 && parameterIndex("weight_6") == promptCount - 1);

class Knob final : public juce::RangedAudioParameter {
  public:
    explicit Knob(const ParameterRow& row);

    float plain() const noexcept { return plain_.load(std::memory_order_relaxed); } // any thread, RT-safe
    bool isOn() const noexcept { return plain() >= 0.5F; }                          // any thread, RT-safe
    // How often the knob went from off to on: a trigger is counted even if it falls back at once. Any thread, RT-safe.
    uint32_t risings() const noexcept { return risings_.load(std::memory_order_relaxed); }
    const ParameterRow& row() const noexcept { return row_; }

    float getValue() const override;    // any thread, RT-safe, as is setValue
    void setValue(float normal) override;
    float getDefaultValue() const override;
    const juce::NormalisableRange<float>& getNormalisableRange() const override { return range_; }
    int getNumSteps() const override;
    /* Not of few whole numbers: JUCE would call them an enumeration, which LV2 has for ports alone. They snap all the same. */
    bool isDiscrete() const override { return row_.step == 1.0F && (isBoolean() || row_.maximum - row_.minimum >= 1000.0F); }
    bool isBoolean() const override { return row_.taper == Taper::toggle; }
    juce::String getText(float normal, int length) const override;
    float getValueForText(const juce::String& text) const override;

    juce::String textOf(float plain) const; // "-3.5 dB", "on", ...

  private:
    const ParameterRow& row_;
    const juce::NormalisableRange<float> range_;
    std::atomic<float> plain_;
    std::atomic<uint32_t> risings_{0};
};

// All of them, owned by the processor.
class Parameters {
  public:
    explicit Parameters(juce::AudioProcessor& processor); // message thread
    Knob& operator[](int index) const noexcept { return *knobs_[static_cast<size_t>(index)]; }
    Knob& operator[](std::string_view name) const noexcept { return (*this)[parameterIndex(name)]; }

  private:
    std::array<Knob*, parameterCount> knobs_{};
};

} // namespace jackdaw
