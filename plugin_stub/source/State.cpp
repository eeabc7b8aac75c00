#include "State.h"

namespace jackdaw {
namespace {

// Triggers are not part of the state.
bool isStored(const ParameterRow& row) { return juce::StringRef(row.name) != juce::StringRef("reset"); }

std::string decoded(const juce::String& base64) {
    juce::MemoryOutputStream bytes;
    if (!juce::Base64::convertFromBase64(bytes, base64)) return {};
    return {static_cast<const char*>(bytes.getData()), bytes.getDataSize()};
}

} // namespace

std::unique_ptr<juce::XmlElement> stateToXml(const Parameters& parameters, const Settings& settings) {
    auto xml = std::make_unique<juce::XmlElement>("jackdaw");
    xml->setAttribute("version", stateVersion);
    xml->setAttribute("model", juce::String::fromUTF8(settings.model.c_str()));
    xml->setAttribute("seed", juce::String(settings.seed));
    auto* values = xml->createNewChildElement("values");
    for (int i = 0; i < parameterCount; ++i)
        if (isStored(parameterTable[i])) values->setAttribute(parameterTable[i].name, juce::String(parameters[i].plain(), 3));
    for (size_t i = 0; i < settings.prompts.size(); ++i) {
        const Prompt& prompt = settings.prompts[i];
        if (prompt.isEmpty()) continue;
        auto* child = xml->createNewChildElement("prompt");
        child->setAttribute("slot", static_cast<int>(i) + 1);
        if (!prompt.text.empty()) child->setAttribute("text", juce::String::fromUTF8(prompt.text.c_str()));
        if (!prompt.audio.empty()) child->setAttribute("audio", juce::String::fromUTF8(prompt.audio.c_str()));
        if (prompt.embedding.empty()) continue;
        child->setAttribute("model", juce::String::fromUTF8(prompt.modelHash.c_str()));
        child->setAttribute("embedding", juce::Base64::toBase64(prompt.embedding.data(), prompt.embedding.size()));
    }
    return xml;
}

juce::String stateFromXml(const juce::XmlElement& xml, const Parameters& parameters, Settings& settings) {
    if (!xml.hasTagName("jackdaw")) return "The saved state is not one of Jackdaw's; nothing was changed.";
    const int version = xml.getIntAttribute("version", 0);
    if (version > stateVersion)
        return "The saved state has version " + juce::String(version) + ", this plugin knows " + juce::String(stateVersion) +
               " at most: update Jackdaw. Nothing was changed.";
    settings.model = xml.getStringAttribute("model", juce::String::fromUTF8(settings.model.c_str())).toStdString();
    settings.seed = std::max<juce::int64>(0, xml.getStringAttribute("seed", "0").getLargeIntValue());
    const auto* values = xml.getChildByName("values");
    for (int i = 0; i < parameterCount; ++i) {
        if (!isStored(parameterTable[i])) continue;
        Knob& knob = parameters[i];
        const double value = values == nullptr ? parameterTable[i].initial
                                               : values->getDoubleAttribute(parameterTable[i].name, parameterTable[i].initial);
        knob.setValueNotifyingHost(knob.convertTo0to1(static_cast<float>(value)));
    }
    settings.prompts = {};
    for (const auto* child : xml.getChildWithTagNameIterator("prompt")) {
        const int slot = child->getIntAttribute("slot") - 1;
        if (slot < 0 || slot >= promptCount) continue;
        Prompt& prompt = settings.prompts[static_cast<size_t>(slot)];
        prompt.text = child->getStringAttribute("text").toStdString();
        prompt.audio = child->getStringAttribute("audio").toStdString();
        prompt.embedding = decoded(child->getStringAttribute("embedding"));
        prompt.modelHash = child->getStringAttribute("model").toStdString();
    }
    return {};
}

} // namespace jackdaw
