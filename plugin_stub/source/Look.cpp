#include "Look.h"

namespace jackdaw {

juce::Colour promptColour(int slot) {
    static const juce::Colour colours[] = {juce::Colour(0xff4fb8c9), juce::Colour(0xffe0a458), juce::Colour(0xffc778dd),
                                           juce::Colour(0xff7fbf6a), juce::Colour(0xffe57373), juce::Colour(0xff7e9cf0)};
    return colours[slot % 6];
}

void drawFocus(juce::Graphics& graphics, const juce::Component& component, float radius) {
    if (!component.hasKeyboardFocus(false)) return;
    graphics.setColour(colour::text.withAlpha(0.7F));
    graphics.drawRoundedRectangle(component.getLocalBounds().toFloat().reduced(0.75F), radius, 1.5F);
}

Look::Look() {
    setColour(juce::ResizableWindow::backgroundColourId, colour::back);
    setColour(juce::TextEditor::backgroundColourId, colour::field);
    setColour(juce::TextEditor::textColourId, colour::text);
    setColour(juce::TextEditor::highlightColourId, colour::accent.withAlpha(0.35F));
    setColour(juce::CaretComponent::caretColourId, colour::accent);
    setColour(juce::Label::textColourId, colour::text);
    setColour(juce::Slider::textBoxTextColourId, colour::text);
    setColour(juce::Slider::textBoxOutlineColourId, juce::Colours::transparentBlack);
    setColour(juce::ComboBox::backgroundColourId, colour::field);
    setColour(juce::ComboBox::outlineColourId, colour::line);
    setColour(juce::ComboBox::focusedOutlineColourId, colour::text);
    setColour(juce::ComboBox::textColourId, colour::text);
    setColour(juce::ComboBox::arrowColourId, colour::faint);
    setColour(juce::PopupMenu::backgroundColourId, colour::panel);
    setColour(juce::PopupMenu::textColourId, colour::text);
    setColour(juce::PopupMenu::highlightedBackgroundColourId, colour::accent.withAlpha(0.3F));
    setColour(juce::TextButton::textColourOffId, colour::text);
    setColour(juce::TextButton::textColourOnId, colour::back);
    setColour(juce::TooltipWindow::backgroundColourId, colour::panel);
    setColour(juce::TooltipWindow::textColourId, colour::text);
    setColour(juce::TooltipWindow::outlineColourId, colour::line);
}

void Look::drawRotarySlider(juce::Graphics& g, int x, int y, int width, int height, float position, float from, float to,
                            juce::Slider& slider) {
    const auto area = juce::Rectangle<int>(x, y, width, height).toFloat().reduced(5.0F);
    const float radius = std::min(area.getWidth(), area.getHeight()) / 2.0F;
    const auto centre = area.getCentre();
    const float angle = from + position * (to - from);
    const auto tint = slider.findColour(juce::Slider::thumbColourId);
    juce::Path track, value;
    track.addCentredArc(centre.x, centre.y, radius, radius, 0.0F, from, to, true);
    value.addCentredArc(centre.x, centre.y, radius, radius, 0.0F, from, angle, true);
    const juce::PathStrokeType stroke(4.0F, juce::PathStrokeType::curved, juce::PathStrokeType::rounded);
    g.setColour(colour::line);
    g.strokePath(track, stroke);
    g.setColour(tint);
    g.strokePath(value, stroke);
    const float inner = radius - 6.0F;
    g.setColour(slider.hasKeyboardFocus(false) ? colour::line : colour::field);
    g.fillEllipse(juce::Rectangle<float>(2.0F * inner, 2.0F * inner).withCentre(centre));
    const auto tip = centre.getPointOnCircumference(inner - 2.0F, angle);
    g.setColour(colour::text);
    g.drawLine({centre.getPointOnCircumference(inner * 0.45F, angle), tip}, 2.5F);
    if (slider.hasKeyboardFocus(false)) g.drawEllipse(juce::Rectangle<float>(2.0F * inner, 2.0F * inner).withCentre(centre), 1.5F);
}

void Look::drawLinearSlider(juce::Graphics& g, int x, int y, int width, int height, float position, float, float,
                            juce::Slider::SliderStyle, juce::Slider& slider) {
    const auto area = juce::Rectangle<int>(x, y, width, height).toFloat();
    const auto track = area.withSizeKeepingCentre(area.getWidth(), 6.0F);
    const float at = juce::jlimit(track.getX(), track.getRight(), position);
    g.setColour(colour::line);
    g.fillRoundedRectangle(track, 3.0F);
    const auto tint = slider.findColour(juce::Slider::thumbColourId).withMultipliedAlpha(slider.isEnabled() ? 1.0F : 0.35F);
    g.setColour(tint);
    g.fillRoundedRectangle(track.withRight(at), 3.0F);
    g.setColour(slider.isEnabled() ? colour::text : colour::faint);
    g.fillEllipse(juce::Rectangle<float>(14.0F, 14.0F).withCentre({at, track.getCentreY()}));
    if (!slider.hasKeyboardFocus(false)) return;
    g.setColour(tint);
    g.drawEllipse(juce::Rectangle<float>(19.0F, 19.0F).withCentre({at, track.getCentreY()}), 2.0F);
}

void Look::drawButtonBackground(juce::Graphics& g, juce::Button& button, const juce::Colour&, bool over, bool down) {
    const auto area = button.getLocalBounds().toFloat().reduced(0.5F);
    const bool on = button.getToggleState();
    const auto lit = button.findColour(juce::TextButton::buttonOnColourId);
    g.setColour(on ? lit : down ? colour::line : over ? colour::field.brighter(0.08F) : colour::field);
    g.fillRoundedRectangle(area, 5.0F);
    g.setColour(on ? lit : colour::line);
    g.drawRoundedRectangle(area, 5.0F, 1.0F);
    drawFocus(g, button, 5.0F);
}

void Look::drawTextEditorOutline(juce::Graphics& g, int width, int height, juce::TextEditor& editor) {
    g.setColour(editor.hasKeyboardFocus(true) ? colour::accent : colour::line);
    g.drawRoundedRectangle(0.5F, 0.5F, static_cast<float>(width) - 1.0F, static_cast<float>(height) - 1.0F, 4.0F, 1.0F);
}

Dial::Dial(SliderStyle style, juce::Colour tint) : Slider(style, NoTextBox) {
    setColour(thumbColourId, tint);
    setWantsKeyboardFocus(true);
    setMouseDragSensitivity(180);
}

bool Dial::keyPressed(const juce::KeyPress& key) {
    const double step = key.getModifiers().isShiftDown() ? 0.001 : 0.01;
    const int code = key.getKeyCode();
    double way = 0.0;
    if (code == juce::KeyPress::upKey || code == juce::KeyPress::rightKey) way = step;
    else if (code == juce::KeyPress::downKey || code == juce::KeyPress::leftKey) way = -step;
    else if (code == juce::KeyPress::pageUpKey) way = 0.1;
    else if (code == juce::KeyPress::pageDownKey) way = -0.1;
    else if (code == juce::KeyPress::homeKey) way = -1.0;
    else if (code == juce::KeyPress::endKey) way = 1.0;
    if (way == 0.0) return false;
    const double before = getValue();
    const double travel = valueToProportionOfLength(before);
    double after = proportionOfLengthToValue(juce::jlimit(0.0, 1.0, travel + way));
    if (getInterval() > 0.0 && std::abs(after - before) < getInterval()) after = before + std::copysign(getInterval(), way);
    setValue(after, juce::sendNotificationSync);
    return true;
}

} // namespace jackdaw
