// The editor's head: which model plays, and how the engine is doing. Message thread.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include "EngineLink.h"

namespace jackdaw {

class StatusBar final : public juce::Component {
  public:
    explicit StatusBar(EngineLink& link);
    void follow(const LinkStatus& status, const Settings& settings, const juce::String& problem);
    void paint(juce::Graphics&) override;
    void resized() override;

  private:
    EngineLink& link_;
    juce::ComboBox model_;
    juce::TextEditor seed_;
    LinkStatus status_;
    juce::String problem_;
};

} // namespace jackdaw
