#include "KnobView.h"

namespace jackdaw {

KnobView::KnobView(Knob& knob)
    : knob_(knob), dial_(juce::Slider::RotaryHorizontalVerticalDrag, colour::accent), attachment_(knob, dial_) {
    dial_.setTooltip(knob.row().help);
    dial_.setTitle(knob.row().label);
    dial_.onValueChange = [this] { repaint(); };
    dial_.setDoubleClickReturnValue(true, knob.row().initial);
    addAndMakeVisible(dial_);
}

void KnobView::paint(juce::Graphics& g) {
    g.setFont(juce::Font(13.0F));
    g.setColour(colour::faint);
    g.drawText(knob_.row().label, getLocalBounds().removeFromTop(18), juce::Justification::centred);
    g.setColour(colour::text);
    const juce::String unit = knob_.row().unit;
    g.drawText(knob_.textOf(static_cast<float>(dial_.getValue())) + (unit.isEmpty() ? "" : " " + unit),
               getLocalBounds().removeFromBottom(18), juce::Justification::centred);
}

void KnobView::resized() { dial_.setBounds(getLocalBounds().withTrimmedTop(18).withTrimmedBottom(18)); }

} // namespace jackdaw
