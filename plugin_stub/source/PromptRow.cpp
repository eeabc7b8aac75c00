#include "PromptRow.h"

namespace jackdaw {
namespace {

const char* const kinds = "*.wav;*.flac;*.aif;*.aiff;*.ogg;*.mp3";

juce::String shownText(const Prompt& prompt) {
    return juce::String::fromUTF8(prompt.audio.empty() ? prompt.text.c_str() : prompt.audio.c_str());
}

} // namespace

PromptRow::PromptRow(int slot, EngineLink& link, Knob& weight)
    : slot_(slot), link_(link), weight_(juce::Slider::LinearHorizontal, promptColour(slot)), attachment_(weight, weight_) {
    text_.setFont(juce::Font(15.0F));
    text_.setTextToShowWhenEmpty("a style in words", colour::faint.withAlpha(0.6F));
    text_.setTitle("Prompt " + juce::String(slot + 1));
    text_.setInputRestrictions(200);
    text_.setIndents(8, 0);
    text_.setJustification(juce::Justification::centredLeft);
    text_.setSelectAllWhenFocused(true);
    text_.onReturnKey = text_.onFocusLost = [this] { commit(); };
    text_.onEscapeKey = [this] { text_.setText(shown_, false); };
    file_.setTooltip("Take the style of a sound file");
    file_.onClick = [this] { browse(); };
    weight_.setTitle("Weight " + juce::String(slot + 1));
    weight_.onValueChange = [this] { repaint(); };
    addAndMakeVisible(text_);
    addAndMakeVisible(file_);
    addAndMakeVisible(weight_);
}

void PromptRow::follow(const Prompt& prompt) {
    const auto text = shownText(prompt);
    weight_.setEnabled(!prompt.isEmpty());
    if (text == shown_ || text_.hasKeyboardFocus(true)) return;
    shown_ = text;
    text_.setText(text, false);
    text_.moveCaretToEnd();
}

void PromptRow::commit() {
    const auto text = text_.getText().trim();
    if (text == shown_) return;
    shown_ = text;
    const bool isFile = text.startsWithChar('/') && juce::File(text).existsAsFile();
    link_.change([&](Settings& settings) {
        Prompt& prompt = settings.prompts[static_cast<size_t>(slot_)];
        prompt = {};
        (isFile ? prompt.audio : prompt.text) = text.toStdString();
    });
}

void PromptRow::useFile(const juce::File& file) {
    text_.setText(file.getFullPathName(), false);
    commit();
}

void PromptRow::browse() {
    chooser_ = std::make_unique<juce::FileChooser>("A sound whose style to take", juce::File(), kinds, false);
    chooser_->launchAsync(juce::FileBrowserComponent::openMode | juce::FileBrowserComponent::canSelectFiles,
                          [this](const juce::FileChooser& chooser) {
                              if (chooser.getResult().existsAsFile()) useFile(chooser.getResult());
                          });
}

bool PromptRow::isInterestedInFileDrag(const juce::StringArray& files) {
    return files.size() == 1 && juce::WildcardFileFilter(kinds, {}, {}).isFileSuitable(juce::File(files[0]));
}

void PromptRow::filesDropped(const juce::StringArray& files, int, int) { useFile(juce::File(files[0])); }

void PromptRow::paint(juce::Graphics& g) {
    const auto chip = juce::Rectangle<float>(24.0F, 24.0F).withCentre({14.0F, static_cast<float>(getHeight()) / 2.0F});
    const bool used = weight_.isEnabled();
    g.setColour(used ? promptColour(slot_) : colour::field);
    g.fillEllipse(chip);
    g.setColour(used ? colour::back : colour::faint);
    g.setFont(juce::Font(14.0F, juce::Font::bold));
    g.drawText(juce::String(slot_ + 1), chip, juce::Justification::centred);
    g.setColour(used ? colour::text : colour::faint);
    g.setFont(juce::Font(13.0F));
    g.drawText(juce::String(weight_.getValue(), 2), getLocalBounds().removeFromRight(36), juce::Justification::centredRight);
}

void PromptRow::resized() {
    auto area = getLocalBounds().withTrimmedLeft(34).reduced(0, 3);
    area.removeFromRight(40);
    weight_.setBounds(area.removeFromRight(std::max(90, getWidth() / 4)));
    area.removeFromRight(8);
    file_.setBounds(area.removeFromRight(44));
    area.removeFromRight(6);
    text_.setBounds(area);
}

} // namespace jackdaw
