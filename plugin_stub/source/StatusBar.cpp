#include "StatusBar.h"

#include "Look.h"

namespace jackdaw {
namespace {

struct Words {
    const char* text;
    juce::Colour colour;
};

Words wordsOf(Phase phase) {
    switch (phase) {
        case Phase::noCommand: return {"No engine", colour::bad};
        case Phase::starting: return {"Starting", colour::warm};
        case Phase::away: return {"Engine away", colour::bad};
        case Phase::loading: return {"Loading", colour::warm};
        case Phase::failed: return {"Failed", colour::bad};
        case Phase::ready: break;
    }
    return {"Ready", colour::good};
}

juce::String figures(const LinkStatus& status) {
    if (status.phase != Phase::ready || status.latencyMs <= 0.0) return {};
    const juce::String times = juce::String::fromUTF8("\xc3\x97");
    return juce::String(status.realTimeFactor, 1) + times + " real time    buffer " + juce::String(juce::roundToInt(status.fillMs)) +
           " / " + juce::String(juce::roundToInt(status.targetMs)) + " ms    latency " +
           juce::String(juce::roundToInt(status.latencyMs)) + " ms    underruns " + juce::String(status.underruns);
}

} // namespace

StatusBar::StatusBar(EngineLink& link) : link_(link) {
    model_.setTitle("Model");
    model_.setTooltip("The model that plays");
    model_.setWantsKeyboardFocus(true);
    model_.onChange = [this] {
        const auto name = model_.getText().toStdString();
        if (!name.empty() && name != link_.settings().model) link_.change([&](Settings& settings) { settings.model = name; });
    };
    seed_.setTitle("Seed");
    seed_.setTooltip("Seed: equal seed, equal music after a reset and in a bounce");
    seed_.setInputRestrictions(10, "0123456789");
    seed_.setFont(juce::Font(14.0F));
    seed_.setJustification(juce::Justification::centred);
    seed_.setSelectAllWhenFocused(true);
    seed_.onReturnKey = seed_.onFocusLost = [this] {
        const int64_t seed = seed_.getText().getLargeIntValue();
        if (seed != link_.settings().seed) link_.change([&](Settings& settings) { settings.seed = seed; });
    };
    addAndMakeVisible(model_);
    addAndMakeVisible(seed_);
}

void StatusBar::follow(const LinkStatus& status, const Settings& settings, const juce::String& problem) {
    juce::StringArray names;
    for (const auto& name : status.models) names.add(name);
    names.addIfNotAlreadyThere(settings.model);
    bool same = names.size() == model_.getNumItems();
    for (int i = 0; same && i < names.size(); ++i) same = names[i] == model_.getItemText(i);
    if (!same && !model_.isPopupActive()) {
        model_.clear(juce::dontSendNotification);
        model_.addItemList(names, 1);
    }
    if (model_.getText() != juce::String(settings.model) && !model_.isPopupActive())
        model_.setText(settings.model, juce::dontSendNotification);
    if (!seed_.hasKeyboardFocus(true)) seed_.setText(juce::String(settings.seed), false);
    status_ = status;
    problem_ = problem;
    repaint();
}

void StatusBar::paint(juce::Graphics& g) {
    auto area = getLocalBounds();
    g.setColour(colour::text);
    g.setFont(juce::Font(22.0F, juce::Font::bold));
    g.drawText("Jackdaw", area.removeFromLeft(100).removeFromTop(28), juce::Justification::centredLeft);
    area.removeFromRight(320);
    const auto words = wordsOf(status_.phase);
    area.removeFromLeft(8);
    g.setColour(words.colour);
    g.fillEllipse(juce::Rectangle<float>(10.0F, 10.0F).withCentre(
        {static_cast<float>(area.getX()) + 6.0F, static_cast<float>(area.getY()) + 14.0F}));
    area.removeFromLeft(20);
    g.setFont(juce::Font(14.0F, juce::Font::bold));
    g.drawText(words.text, area.removeFromTop(28), juce::Justification::centredLeft);
    g.setFont(juce::Font(13.0F));
    const juce::String trouble = problem_.isNotEmpty() ? problem_ : juce::String::fromUTF8(status_.text.c_str());
    g.setColour(trouble.isEmpty() ? colour::faint : problem_.isEmpty() && status_.phase != Phase::failed ? colour::warm : colour::bad);
    g.drawFittedText(trouble.isEmpty() ? figures(status_) : trouble, area.withTrimmedTop(-4), juce::Justification::topLeft, 2, 0.9F);
    auto right = getLocalBounds().removeFromRight(300).removeFromTop(28);
    g.setColour(colour::faint);
    g.drawText("Model", right.removeFromLeft(44), juce::Justification::centredLeft);
    right.removeFromLeft(140);
    g.drawText("Seed", right.removeFromLeft(44), juce::Justification::centred);
}

void StatusBar::resized() {
    auto right = getLocalBounds().removeFromRight(300).removeFromTop(28);
    right.removeFromLeft(44);
    model_.setBounds(right.removeFromLeft(140));
    right.removeFromLeft(44);
    seed_.setBounds(right);
}

} // namespace jackdaw
