#include "Parameters.h"

#include <cmath>

namespace jackdaw {
namespace {

float snapped(const ParameterRow& row, float plain) noexcept {
    const double perUnit = std::round(1.0 / static_cast<double>(row.step)); // whole: steps are 1, 0.01 and 0.001
    const double value = std::round(static_cast<double>(plain) * perUnit) / perUnit + 0.0; // no negative zero
    return juce::jlimit(row.minimum, row.maximum, static_cast<float>(value));
}

juce::NormalisableRange<float> rangeOf(const ParameterRow& row) {
    juce::NormalisableRange<float> range(row.minimum, row.maximum, row.step);
    if (row.taper == Taper::log)
        range = juce::NormalisableRange<float>(
            row.minimum, row.maximum,
            [](float low, float high, float x) { return low * std::pow(high / low, x); },
            [](float low, float high, float value) { return std::log(value / low) / std::log(high / low); },
            [&row](float, float, float value) { return snapped(row, value); });
    return range;
}

} // namespace

Knob::Knob(const ParameterRow& row)
    : RangedAudioParameter({row.name, 1}, row.label, juce::AudioProcessorParameterWithIDAttributes().withLabel(row.unit)),
      row_(row), range_(rangeOf(row)), plain_(row.initial) {}

float Knob::getValue() const { return juce::jlimit(0.0F, 1.0F, range_.convertTo0to1(plain())); }

void Knob::setValue(float normal) {
    const float plain = snapped(row_, range_.convertFrom0to1(juce::jlimit(0.0F, 1.0F, normal)));
    const float before = plain_.exchange(plain, std::memory_order_relaxed);
    if (before < 0.5F && plain >= 0.5F) risings_.fetch_add(1, std::memory_order_relaxed);
}

float Knob::getDefaultValue() const { return juce::jlimit(0.0F, 1.0F, range_.convertTo0to1(row_.initial)); }

int Knob::getNumSteps() const {
    return isDiscrete() ? static_cast<int>(row_.maximum - row_.minimum) + 1 : juce::AudioProcessor::getDefaultNumParameterSteps();
}

juce::String Knob::textOf(float plain) const {
    if (isBoolean()) return plain >= 0.5F ? "on" : "off";
    const int decimals = row_.step >= 1.0F ? 0 : row_.step >= 0.01F ? 1 : 2;
    return juce::String(plain, decimals);
}

juce::String Knob::getText(float normal, int length) const {
    const juce::String text = textOf(snapped(row_, range_.convertFrom0to1(normal)));
    return length > 0 ? text.substring(0, length) : text;
}

float Knob::getValueForText(const juce::String& text) const {
    if (isBoolean()) return text.trim() == "on" || text.getFloatValue() >= 0.5F ? 1.0F : 0.0F;
    return range_.convertTo0to1(snapped(row_, text.getFloatValue()));
}

Parameters::Parameters(juce::AudioProcessor& processor) {
    for (int i = 0; i < parameterCount; ++i) {
        auto knob = std::make_unique<Knob>(parameterTable[i]);
        knobs_[static_cast<size_t>(i)] = knob.get();
        processor.addParameter(knob.release());
    }
}

} // namespace jackdaw
