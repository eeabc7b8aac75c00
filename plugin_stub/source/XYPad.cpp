#include "XYPad.h"

#include "Look.h"

namespace jackdaw {
namespace {

constexpr float soft = 0.002F; // keeps the weights finite on a corner

} // namespace

XYPad::XYPad(const Parameters& parameters) : parameters_(parameters) {
    setWantsKeyboardFocus(true);
    setTitle("Blend");
    setTooltip("Blends the prompts: drag the dot, or move it with the arrow keys");
}

XYPad::Point XYPad::corner(int slot) {
    const float angle = juce::MathConstants<float>::twoPi * (static_cast<float>(slot) / promptCount - 1.0F / 12.0F);
    return {std::sin(angle), -std::cos(angle)};
}

XYPad::Point XYPad::onScreen(Point point) const {
    const auto area = getLocalBounds().toFloat();
    const float radius = std::min(area.getWidth(), area.getHeight()) / 2.0F - 24.0F;
    return area.getCentre() + point * radius;
}

void XYPad::setUsed(const std::array<bool, promptCount>& used) {
    if (used == used_) return;
    used_ = used;
    weights_.fill(-1.0F); // the dot depends on which count
    follow();
    repaint();
}

void XYPad::follow() {
    std::array<float, promptCount> now{};
    for (int i = 0; i < promptCount; ++i) now[static_cast<size_t>(i)] = parameters_[i].plain();
    if (now == weights_) return;
    weights_ = now;
    Point sum;
    float total = 0.0F;
    for (int i = 0; i < promptCount; ++i) {
        const auto at = static_cast<size_t>(i);
        if (!used_[at]) continue;
        sum += corner(i) * now[at];
        total += now[at];
    }
    dot_ = total > 0.0F ? sum / total : Point();
    repaint();
}

void XYPad::moveTo(Point point) {
    const float far = point.getDistanceFromOrigin();
    dot_ = far > 1.0F ? point / far : point;
    float least = 1e9F;
    for (int i = 0; i < promptCount; ++i)
        if (used_[static_cast<size_t>(i)]) least = std::min(least, dot_.getDistanceSquaredFrom(corner(i)));
    for (int i = 0; i < promptCount; ++i) {
        const auto at = static_cast<size_t>(i);
        if (used_[at]) {
            const float weight = (least + soft) / (dot_.getDistanceSquaredFrom(corner(i)) + soft);
            parameters_[i].setValueNotifyingHost(parameters_[i].convertTo0to1(weight));
        }
        weights_[at] = parameters_[i].plain();
    }
    repaint();
}

void XYPad::gesture(bool begins) {
    for (int i = 0; i < promptCount; ++i) {
        if (begins) parameters_[i].beginChangeGesture();
        else parameters_[i].endChangeGesture();
    }
}

void XYPad::mouseDown(const juce::MouseEvent& event) {
    grabKeyboardFocus();
    gesture(true);
    mouseDrag(event);
}

void XYPad::mouseDrag(const juce::MouseEvent& event) {
    const auto centre = onScreen({});
    const float radius = std::max(1.0F, onScreen({1.0F, 0.0F}).x - centre.x);
    moveTo((event.position - centre) / radius);
}

void XYPad::mouseUp(const juce::MouseEvent&) { gesture(false); }

bool XYPad::keyPressed(const juce::KeyPress& key) {
    const float step = key.getModifiers().isShiftDown() ? 0.01F : 0.05F;
    Point way;
    if (key.isKeyCode(juce::KeyPress::leftKey)) way = {-step, 0.0F};
    else if (key.isKeyCode(juce::KeyPress::rightKey)) way = {step, 0.0F};
    else if (key.isKeyCode(juce::KeyPress::upKey)) way = {0.0F, -step};
    else if (key.isKeyCode(juce::KeyPress::downKey)) way = {0.0F, step};
    else return false;
    gesture(true);
    moveTo(dot_ + way);
    gesture(false);
    return true;
}

void XYPad::paint(juce::Graphics& g) {
    const auto area = getLocalBounds().toFloat();
    g.setColour(colour::panel);
    g.fillRoundedRectangle(area, 8.0F);
    const auto dot = onScreen(dot_);
    juce::Path hexagon;
    for (int i = 0; i < promptCount; ++i) {
        const auto point = onScreen(corner(i));
        if (i == 0) hexagon.startNewSubPath(point);
        else hexagon.lineTo(point);
    }
    hexagon.closeSubPath();
    g.setColour(colour::field);
    g.fillPath(hexagon);
    for (int i = 0; i < promptCount; ++i) {
        const auto at = static_cast<size_t>(i);
        const auto point = onScreen(corner(i));
        const auto tint = promptColour(i);
        if (used_[at]) {
            g.setColour(tint.withAlpha(0.15F + 0.6F * weights_[at]));
            g.drawLine({point, dot}, 1.0F + 2.5F * weights_[at]);
        }
        const auto circle = juce::Rectangle<float>(26.0F, 26.0F).withCentre(point);
        g.setColour(used_[at] ? tint : colour::panel);
        g.fillEllipse(circle);
        g.setColour(used_[at] ? tint : colour::line);
        g.drawEllipse(circle, 1.0F);
        g.setColour(used_[at] ? colour::back : colour::faint);
        g.setFont(juce::Font(14.0F, juce::Font::bold));
        g.drawText(juce::String(i + 1), circle, juce::Justification::centred);
    }
    const auto ring = juce::Rectangle<float>(20.0F, 20.0F).withCentre(dot);
    g.setColour(colour::back.withAlpha(0.4F));
    g.fillEllipse(ring);
    g.setColour(colour::text);
    g.drawEllipse(ring, 3.5F);
    drawFocus(g, *this, 8.0F);
}

} // namespace jackdaw
