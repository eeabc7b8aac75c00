// How the editor looks: colours, fonts, dials, bars. Message thread.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

namespace jackdaw {

namespace colour {
inline const juce::Colour back{0xff15171c}, panel{0xff1e2128}, field{0xff272b34}, line{0xff3a404c}, text{0xffe8eaee},
    faint{0xff969dab}, accent{0xff4fb8c9}, warm{0xffe0a458}, bad{0xffe0605e}, good{0xff62c584};
} // namespace colour

juce::Colour promptColour(int slot); // of six

class Look final : public juce::LookAndFeel_V4 {
  public:
    Look();
    void drawRotarySlider(juce::Graphics&, int x, int y, int width, int height, float position, float from, float to,
                          juce::Slider&) override;
    void drawLinearSlider(juce::Graphics&, int x, int y, int width, int height, float position, float low, float high,
                          juce::Slider::SliderStyle, juce::Slider&) override;
    void drawButtonBackground(juce::Graphics&, juce::Button&, const juce::Colour&, bool over, bool down) override;
    void drawTextEditorOutline(juce::Graphics&, int width, int height, juce::TextEditor&) override;
    juce::Font getTextButtonFont(juce::TextButton&, int) override { return juce::Font(13.0F); }
    juce::Font getLabelFont(juce::Label& label) override { return label.getFont(); }
};

// A slider whose arrow keys move by a hundredth of its travel (with shift: a thousandth).
class Dial final : public juce::Slider {
  public:
    Dial(SliderStyle style, juce::Colour tint);
    bool keyPressed(const juce::KeyPress& key) override;
    void focusGained(FocusChangeType) override { repaint(); }
    void focusLost(FocusChangeType) override { repaint(); }
};

void drawFocus(juce::Graphics& graphics, const juce::Component& component, float radius);

} // namespace jackdaw
