// The plugin's state as hosts store it: XML with a version number. Message thread (or whichever the host saves from).
//
// Writing what was read gives the same bytes. Fields that an older version did not know keep their defaults; a newer
// version is refused as a whole, and nothing changes.
#pragma once

#include <juce_core/juce_core.h>

#include "Settings.h"

namespace jackdaw {

inline constexpr int stateVersion = 1;

std::unique_ptr<juce::XmlElement> stateToXml(const Parameters& parameters, const Settings& settings);

// Returns what is wrong, for the user; empty if all was taken. `settings` keeps what the state does not name.
juce::String stateFromXml(const juce::XmlElement& xml, const Parameters& parameters, Settings& settings);

} // namespace jackdaw
