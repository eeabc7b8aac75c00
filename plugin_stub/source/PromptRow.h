// One prompt: words or a sound file, and its weight. Message thread.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include "EngineLink.h"
#include "Look.h"

namespace jackdaw {

class PromptRow final : public juce::Component, public juce::FileDragAndDropTarget {
  public:
    PromptRow(int slot, EngineLink& link, Knob& weight);
    void follow(const Prompt& prompt); // show what is set, unless somebody is typing

    void paint(juce::Graphics&) override;
    void resized() override;
    bool isInterestedInFileDrag(const juce::StringArray& files) override;
    void filesDropped(const juce::StringArray& files, int x, int y) override;

  private:
    void commit();
    void useFile(const juce::File& file);
    void browse();

    const int slot_;
    EngineLink& link_;
    juce::TextEditor text_;
    juce::TextButton file_{"File"};
    Dial weight_;
    juce::SliderParameterAttachment attachment_;
    juce::String shown_;
    std::unique_ptr<juce::FileChooser> chooser_;
};

} // namespace jackdaw
