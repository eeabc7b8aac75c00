#include "Editor.h"

#include "Processor.h"

namespace jackdaw {

Editor::Switch::Switch(Knob& knob, const char* text, juce::Colour lit) : button(text), attachment(knob, button) {
    button.setClickingTogglesState(true);
    button.setColour(juce::TextButton::buttonOnColourId, lit);
    button.setTooltip(knob.row().help);
}

Editor::Editor(Processor& owner)
    : AudioProcessorEditor(owner), processor_(owner), status_(owner.link), pad_(owner.parameters),
      meters_(owner.path) {
    setLookAndFeel(&look_);
    const Parameters& parameters = owner.parameters;
    addAndMakeVisible(status_);
    for (int slot = 0; slot < promptCount; ++slot) {
        prompts_.push_back(std::make_unique<PromptRow>(slot, owner.link, parameters[slot]));
        addAndMakeVisible(*prompts_.back());
    }
    addAndMakeVisible(pad_);
    addAndMakeVisible(meters_);
    for (const char* name : {"temperature", "top_k", "guidance", "feedback", "input_gain", "mix", "volume"}) {
        knobs_.push_back(std::make_unique<KnobView>(parameters[name]));
        addAndMakeVisible(*knobs_.back());
    }
    switches_.push_back(std::make_unique<Switch>(parameters["hear"], "Hear", colour::good));
    switches_.push_back(std::make_unique<Switch>(parameters["mute"], "Mute", colour::bad));
    switches_.push_back(std::make_unique<Switch>(parameters["bypass"], "Bypass", colour::warm));
    for (auto& one : switches_) addAndMakeVisible(one->button);
    reset_.setTooltip("Forget what was played and start from the seed");
    reset_.onClick = [this] { // a rise is what counts
        Knob& knob = processor_.parameters["reset"];
        knob.beginChangeGesture();
        knob.setValueNotifyingHost(1.0F);
        knob.setValueNotifyingHost(0.0F);
        knob.endChangeGesture();
    };
    addAndMakeVisible(reset_);
    setResizable(true, true);
    setResizeLimits(760, 470, 1800, 1200);
    setSize(920, 560);
    timerCallback();
    startTimerHz(25);
}

Editor::~Editor() {
    stopTimer();
    setLookAndFeel(nullptr);
}

void Editor::timerCallback() {
    meters_.follow();
    pad_.follow();
    if (ticks_++ % 5 != 0) return;
    const Settings settings = processor_.link.settings();
    std::array<bool, promptCount> used{};
    for (size_t i = 0; i < prompts_.size(); ++i) {
        prompts_[i]->follow(settings.prompts[i]);
        used[i] = !settings.prompts[i].isEmpty();
    }
    pad_.setUsed(used);
    status_.follow(processor_.link.status(), settings, processor_.stateProblem());
}

void Editor::paint(juce::Graphics& g) { g.fillAll(colour::back); }

void Editor::resized() {
    auto area = getLocalBounds().reduced(16, 12);
    status_.setBounds(area.removeFromTop(52));
    area.removeFromTop(6);
    auto bottom = area.removeFromBottom(juce::jlimit(118, 170, getHeight() / 5));
    area.removeFromBottom(12);

    meters_.setBounds(area.removeFromRight(84));
    area.removeFromRight(10);
    pad_.setBounds(area.removeFromRight(std::min(area.getHeight(), area.getWidth() * 2 / 5)));
    area.removeFromRight(14);
    const int row = area.getHeight() / promptCount;
    for (auto& prompt : prompts_) prompt->setBounds(area.removeFromTop(row).withSizeKeepingCentre(area.getWidth(), std::min(row, 40)));

    auto switches = bottom.removeFromRight(84);
    const int step = switches.getHeight() / 4;
    for (auto& one : switches_) one->button.setBounds(switches.removeFromTop(step).reduced(0, 2));
    reset_.setBounds(switches.removeFromTop(step).reduced(0, 2));
    bottom.removeFromRight(10);
    const int width = bottom.getWidth() / static_cast<int>(knobs_.size());
    for (auto& knob : knobs_) knob->setBounds(bottom.removeFromLeft(width));
}

} // namespace jackdaw
