#pragma once
#include <juce_audio_processors/juce_audio_processors.h>
namespace jackdaw {
class Processor;
class Editor final : public juce::AudioProcessorEditor {
  public:
    explicit Editor(Processor& processor);
};
} // namespace jackdaw
