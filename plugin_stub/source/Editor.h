// The plugin's window. Message thread; looks at the processor 25 times a second.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include "KnobView.h"
#include "Meters.h"
#include "PromptRow.h"
#include "StatusBar.h"
#include "XYPad.h"

namespace jackdaw {

class Processor;

class Editor final : public juce::AudioProcessorEditor, private juce::Timer {
  public:
    explicit Editor(Processor& owner);
    ~Editor() override;
    void paint(juce::Graphics&) override;
    void resized() override;

  private:
    struct Switch {
        Switch(Knob& knob, const char* text, juce::Colour lit);
        juce::TextButton button;
        juce::ButtonParameterAttachment attachment;
    };
    void timerCallback() override;

    Processor& processor_;
    Look look_;
    StatusBar status_;
    std::vector<std::unique_ptr<PromptRow>> prompts_;
    XYPad pad_;
    Meters meters_;
    std::vector<std::unique_ptr<KnobView>> knobs_;
    std::vector<std::unique_ptr<Switch>> switches_;
    juce::TextButton reset_{"Reset"};
    juce::TooltipWindow tooltips_{this, 700};
    int ticks_ = 0;
};

} // namespace jackdaw
