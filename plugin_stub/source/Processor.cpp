#include "Processor.h"

#include "Editor.h"
#include "State.h"

#include <cstdlib>

namespace jackdaw {
namespace {

constexpr int bouncePatienceSeconds = 20;

Settings firstSettings() {
    Settings settings;
    const char* model = std::getenv("JACKDAW_MODEL");
    settings.model = model == nullptr || *model == '\0' ? "tiny" : model;
    settings.prompts[0].text = "disco funk";
    return settings;
}

} // namespace

Processor::Processor()
    : AudioProcessor(BusesProperties()
                         .withInput("Input", juce::AudioChannelSet::stereo(), true)
                         .withInput("Sidechain", juce::AudioChannelSet::stereo(), false)
                         .withOutput("Output", juce::AudioChannelSet::stereo(), true)), parameters(*this), link(parameters, firstSettings()), path(parameters, link.client()) {
    startTimerHz(10);
}

Processor::~Processor() { stopTimer(); }

bool Processor::isBusesLayoutSupported(const BusesLayout& layouts) const {
    const auto fits = [](const juce::AudioChannelSet& set, bool mayBeOff) {
        return set == juce::AudioChannelSet::mono() || set == juce::AudioChannelSet::stereo() || (mayBeOff && set.isDisabled());
    };
    return fits(layouts.getMainOutputChannelSet(), false) && fits(layouts.getChannelSet(true, 0), true) &&
           fits(layouts.getChannelSet(true, 1), true);
}

void Processor::prepareToPlay(double rate, int block) {
    path.prepare(rate, block);
    link.setFormat(static_cast<uint32_t>(juce::roundToInt(rate)), static_cast<uint32_t>(juce::jlimit(1, AudioPath::mostFrames, block)));
    wasOffline_ = isNonRealtime();
    bouncePending_ = wasOffline_;
    jd_client_arm(link.client(), wasOffline_ ? 0 : 1);
    if (wasOffline_) beginBounce(); // now: hosts ask for the latency next
    followLatency();
}

void Processor::releaseResources() { link.setFormat(0, 0); }

void Processor::reset() {
    if (isNonRealtime()) bouncePending_ = true;
}

// Offline only. The first block of a bounce begins with the first frame of a new epoch, and nothing of before is left.
void Processor::beginBounce() noexcept {
    bouncePending_ = false;
    path.rest();
    const bool begun = link.bounce(bouncePatienceSeconds);
    jd_client_arm(link.client(), begun ? 1 : 0); // without an engine: silence
}

void Processor::handOverTransport() noexcept {
    const auto* head = getPlayHead();
    const auto position = head == nullptr ? juce::Optional<juce::AudioPlayHead::PositionInfo>() : head->getPosition();
    if (!position.hasValue()) return;
    jd_transport transport{};
    transport.state = position->getIsPlaying() ? 1 : 0;
    transport.frame = static_cast<uint64_t>(std::max<int64_t>(0, position->getTimeInSamples().orFallback(0)));
    transport.bpm = position->getBpm().orFallback(0.0);
    const auto signature = position->getTimeSignature().orFallback(juce::AudioPlayHead::TimeSignature{});
    const double quarters = position->getPpqPosition().orFallback(0.0);
    const double quartersPerBar = 4.0 * signature.numerator / std::max(1, signature.denominator);
    const double barStart =
        position->getPpqPositionOfLastBarStart().orFallback(std::floor(quarters / quartersPerBar) * quartersPerBar);
    const double beats = std::max(0.0, (quarters - barStart) * signature.denominator / 4.0);
    transport.bar = static_cast<int32_t>(position->getBarCount().orFallback(
                        static_cast<int64_t>(std::max(0.0, std::floor(barStart / quartersPerBar))))) + 1;
    transport.beat = static_cast<int32_t>(beats) + 1;
    transport.tick = beats - std::floor(beats);
    transport.beats_per_bar = static_cast<float>(signature.numerator);
    transport.beat_type = static_cast<float>(signature.denominator);
    transport.ns = jd_now_ns();
    jd_client_transport(link.client(), &transport);
}

void Processor::processBlock(juce::AudioBuffer<float>& buffer, juce::MidiBuffer& midi) {
    const juce::ScopedNoDenormals noDenormals;
    if (buffer.getNumSamples() == 0) return;
    AudioPath::Buses buses{getBusBuffer(buffer, true, 0), getBusBuffer(buffer, true, 1), getBusBuffer(buffer, false, 0)};
    if (!path.isPrepared() || buses.out.getNumChannels() == 0) {
        buffer.clear();
        return;
    }
    const bool offline = isNonRealtime();
    if (offline && (!wasOffline_ || bouncePending_)) beginBounce();
    if (!offline && wasOffline_) jd_client_arm(link.client(), 1);
    wasOffline_ = offline;
    handOverTransport();
    path.render(buses, midi, offline);
}

// ---- latency -----------------------------------------------------------------------------------------------------------

void Processor::followLatency() {
    const auto frames = static_cast<int>(link.loopLatency());
    if (frames == 0 || frames == getLatencySamples()) return; // not known: the last one stands
    path.setLatency(frames);
    setLatencySamples(frames);
}

void Processor::timerCallback() { followLatency(); }

// ---- state -------------------------------------------------------------------------------------------------------------

juce::String Processor::stateProblem() const {
    const juce::ScopedLock lock(stateLock_);
    return stateProblem_;
}

void Processor::getStateInformation(juce::MemoryBlock& data) { copyXmlToBinary(*stateToXml(parameters, link.settings()), data); }

void Processor::setStateInformation(const void* data, int size) {
    const auto xml = getXmlFromBinary(data, size);
    juce::String problem = "The saved state cannot be read; nothing was changed.";
    if (xml != nullptr) link.change([&](Settings& settings) { problem = stateFromXml(*xml, parameters, settings); });
    const juce::ScopedLock lock(stateLock_);
    stateProblem_ = problem;
}

juce::AudioProcessorEditor* Processor::createEditor() { return new Editor(*this); }

} // namespace jackdaw

juce::AudioProcessor* JUCE_CALLTYPE createPluginFilter();
juce::AudioProcessor* JUCE_CALLTYPE createPluginFilter() { return new jackdaw::Processor; }
