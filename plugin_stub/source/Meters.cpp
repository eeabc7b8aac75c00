#include "Meters.h"

#include "Look.h"

namespace jackdaw {
namespace {

constexpr float floorDb = -60.0F, topDb = 6.0F;
constexpr float fallDb = 0.8F; // each time: 20 dB in a second at 25 frames

float height(float decibels) { return juce::jlimit(0.0F, 1.0F, (decibels - floorDb) / (topDb - floorDb)); }

} // namespace

void Meters::follow() {
    bool moved = false;
    for (int side = 0; side < 2; ++side) {
        for (int c = 0; c < 2; ++c) {
            float& level = levels_[side][c];
            const float now = juce::Decibels::gainToDecibels(path_.takePeak(side == 1, c), -90.0F);
            const float next = std::max(now, std::max(-90.0F, level - fallDb));
            moved = moved || next != level;
            level = next;
        }
    }
    if (moved) repaint();
}

void Meters::paint(juce::Graphics& g) {
    auto area = getLocalBounds().toFloat();
    g.setColour(colour::panel);
    g.fillRoundedRectangle(area, 8.0F);
    area = area.reduced(8.0F);
    g.setFont(juce::Font(12.0F));
    const float half = area.getWidth() / 2.0F;
    for (int side : {1, 0}) {
        auto part = area.removeFromLeft(half);
        g.setColour(colour::faint);
        g.drawText(side == 1 ? "IN" : "OUT", part.removeFromBottom(16.0F), juce::Justification::centred);
        part = part.reduced(3.0F, 2.0F);
        const float width = part.getWidth() / 2.0F - 1.5F;
        for (int c = 0; c < 2; ++c) {
            const auto bar = part.withX(part.getX() + static_cast<float>(c) * (width + 3.0F)).withWidth(width);
            g.setColour(colour::field);
            g.fillRoundedRectangle(bar, 2.0F);
            const float level = levels_[side][c];
            g.setColour(level > 0.0F ? colour::bad : level > -6.0F ? colour::warm : colour::good);
            g.fillRoundedRectangle(bar.withTop(bar.getBottom() - bar.getHeight() * height(level)), 2.0F);
            g.setColour(colour::line);
            const float zero = bar.getBottom() - bar.getHeight() * height(0.0F);
            g.fillRect(bar.getX(), zero, bar.getWidth(), 1.0F);
        }
    }
}

} // namespace jackdaw
