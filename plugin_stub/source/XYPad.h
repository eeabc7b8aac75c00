// A pad that blends the prompts: the nearer the dot is to a prompt's corner, the more it weighs; the nearest weighs 1.
// Mouse, or arrow keys (with shift: finer). Message thread.
#pragma once

#include <juce_gui_basics/juce_gui_basics.h>

#include "Parameters.h"

namespace jackdaw {

class XYPad final : public juce::Component, public juce::SettableTooltipClient {
  public:
    explicit XYPad(const Parameters& parameters);

    void setUsed(const std::array<bool, promptCount>& used); // which slots have a prompt
    void follow();                                           // weights may have been moved by others: place the dot

    void paint(juce::Graphics&) override;
    void mouseDown(const juce::MouseEvent&) override;
    void mouseDrag(const juce::MouseEvent&) override;
    void mouseUp(const juce::MouseEvent&) override;
    bool keyPressed(const juce::KeyPress&) override;
    void focusGained(FocusChangeType) override { repaint(); }
    void focusLost(FocusChangeType) override { repaint(); }

  private:
    using Point = juce::Point<float>;
    static Point corner(int slot); // in a circle of radius 1
    Point onScreen(Point point) const;
    void moveTo(Point point);
    void gesture(bool begins);

    const Parameters& parameters_;
    std::array<bool, promptCount> used_{};
    std::array<float, promptCount> weights_{}; // as last seen
    Point dot_;
};

} // namespace jackdaw
