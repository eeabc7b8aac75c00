// A dial with its name, value and unit. Message thread.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include "Look.h"
#include "Parameters.h"

namespace jackdaw {

class KnobView final : public juce::Component {
  public:
    explicit KnobView(Knob& knob);
    void paint(juce::Graphics&) override;
    void resized() override;

  private:
    Knob& knob_;
    Dial dial_;
    juce::SliderParameterAttachment attachment_;
};

} // namespace jackdaw
