// Level meters of input and output, with a slow fall. Message thread; peaks come from the audio path's atomics.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include "AudioPath.h"

namespace jackdaw {

class Meters final : public juce::Component {
  public:
    explicit Meters(AudioPath& path) : path_(path) {}
    void follow(); // call regularly
    void paint(juce::Graphics&) override;

  private:
    AudioPath& path_;
    float levels_[2][2] = {{-90.0F, -90.0F}, {-90.0F, -90.0F}}; // dB: [output, input][channel]
};

} // namespace jackdaw
