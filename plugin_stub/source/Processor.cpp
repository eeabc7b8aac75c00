#include "Processor.h"

#include "Editor.h"
#include "State.h"

#include <cstdlib>

namespace jackdaw {
namespace {

constexpr int bouncePatienceSeconds = 20;
constexpr uint64_t hangNs = 9'000'000'000U; // of a block: the renderer waits for 10 s without a new frame

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
    jd_client_arm(link.client(), wasOffline_ ? 0 : 1);
    if (wasOffline_) beginBounce({}); // only for the latency, which hosts ask for next; the first block begins anew
    bouncePending_ = wasOffline_;
    followLatency();
}

void Processor::releaseResources() { link.setFormat(0, 0); }

void Processor::reset() {
    if (isNonRealtime()) bouncePending_ = true;
}

// Offline only. The first block of a bounce begins with the first frame of a new epoch, and nothing of before is left.
void Processor::beginBounce(const std::optional<jd_transport>& at) {
    bouncePending_ = false;
    path.rest();
    const bool begun = link.bounce(at, bouncePatienceSeconds);
    jd_client_arm(link.client(), begun ? 1 : 0); // without an engine: silence
}

// The position of what is heard of this block: hosts play our output as much earlier as we said it was late.
std::optional<jd_transport> Processor::transport() const noexcept {
    const auto* head = getPlayHead();
    const auto position = head == nullptr ? juce::Optional<juce::AudioPlayHead::PositionInfo>() : head->getPosition();
    if (!position.hasValue()) return std::nullopt;
    const auto signature = position->getTimeSignature().orFallback(juce::AudioPlayHead::TimeSignature{});
    const double beatsPerQuarter = std::max(1, signature.denominator) / 4.0;
    const double beatsPerBar = std::max(1, signature.numerator);
    const double quarters = position->getPpqPosition().orFallback(0.0);
    const double barStart = position->getPpqPositionOfLastBarStart().orFallback(
        std::floor(quarters * beatsPerQuarter / beatsPerBar) * beatsPerBar / beatsPerQuarter);
    jd_transport result{};
    result.state = position->getIsPlaying() ? 1 : 0;
    result.bpm = position->getBpm().orFallback(0.0) * beatsPerQuarter;
    const double late = getSampleRate() > 0.0 ? path.latency() / getSampleRate() : 0.0;
    const double beats = (quarters - barStart) * beatsPerQuarter - late * result.bpm / 60.0; // in the bar; may be before it
    const double bars = std::floor(beats / beatsPerBar);
    const double within = beats - bars * beatsPerBar;
    const auto bar = static_cast<double>(position->getBarCount().orFallback(
        static_cast<int64_t>(std::llround(barStart * beatsPerQuarter / beatsPerBar))));
    result.frame = static_cast<uint64_t>(std::max<int64_t>(0, position->getTimeInSamples().orFallback(0) - path.latency()));
    result.bar = static_cast<int32_t>(std::max(0.0, bar + bars)) + 1;
    result.beat = static_cast<int32_t>(within) + 1;
    result.tick = within - std::floor(within);
    result.beats_per_bar = static_cast<float>(beatsPerBar);
    result.beat_type = static_cast<float>(signature.denominator);
    result.ns = jd_now_ns();
    return result;
}

AudioPath::Bus Processor::bus(juce::AudioBuffer<float>& buffer, bool isInput, int index) const noexcept {
    AudioPath::Bus result;
    result.count = std::min(2, getChannelCountOfBus(isInput, index));
    for (int c = 0; c < result.count; ++c)
        result.channels[c] = buffer.getWritePointer(getChannelIndexInProcessBlockBuffer(isInput, index, c));
    return result;
}

void Processor::processBlock(juce::AudioBuffer<float>& buffer, juce::MidiBuffer& midi) {
    const juce::ScopedNoDenormals noDenormals;
    if (buffer.getNumSamples() == 0) return;
    const AudioPath::Buses buses{bus(buffer, true, 0), bus(buffer, true, 1), bus(buffer, false, 0), buffer.getNumSamples()};
    if (!path.isPrepared() || buses.out.count == 0) {
        buffer.clear();
        return;
    }
    const bool offline = isNonRealtime();
    if (offline && (!wasOffline_ || bouncePending_)) beginBounce(transport());
    if (!offline && wasOffline_) jd_client_arm(link.client(), 1);
    wasOffline_ = offline;
    if (const auto now = transport()) jd_client_transport(link.client(), &*now);
    const uint64_t begun = jd_now_ns();
    path.render(buses, midi, offline);
    if (offline && jd_now_ns() - begun > hangNs) jd_client_arm(link.client(), 0); // a hanging engine: silence from here on
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
