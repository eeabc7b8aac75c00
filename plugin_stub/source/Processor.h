// The plugin as its host sees it. Which function runs on which thread is JUCE's law: processBlock on the audio thread,
// editor and timer on the message thread, prepareToPlay and the state on whichever thread the host likes.
//
// When the ring is consumed: in real time always while the host processes. Offline, each of prepareToPlay, reset and the
// switch from real time begins a bounce: the next block waits until the engine has begun a new epoch from the seed, and
// that epoch's first frame is the block's first. So blocks that a host runs as pre-roll eat nothing, if it resets or
// prepares the plugin before it begins in earnest; pedalboard, DawDreamer, Ardour and Reaper do.
#pragma once

#include <juce_audio_processors/juce_audio_processors.h>

#include "AudioPath.h"
#include "EngineLink.h"
#include "Parameters.h"

#include <optional>

namespace jackdaw {

class Processor final : public juce::AudioProcessor, private juce::Timer {
  public:
    Processor();
    ~Processor() override;

    Parameters parameters;
    EngineLink link;
    AudioPath path;

    // Why the last state was refused; empty if it was taken. Message thread.
    juce::String stateProblem() const;

    void prepareToPlay(double rate, int block) override;
    void releaseResources() override;
    void reset() override;
    void processBlock(juce::AudioBuffer<float>& buffer, juce::MidiBuffer& midi) override;
    bool isBusesLayoutSupported(const BusesLayout& layouts) const override;

    void getStateInformation(juce::MemoryBlock& data) override;
    void setStateInformation(const void* data, int size) override;
    juce::AudioProcessorParameter* getBypassParameter() const override { return &parameters["bypass"]; }
    juce::AudioProcessorEditor* createEditor() override;
    bool hasEditor() const override { return true; }

    const juce::String getName() const override { return "Jackdaw"; }
    double getTailLengthSeconds() const override { return std::numeric_limits<double>::infinity(); } // it plays by itself
    bool acceptsMidi() const override { return true; }
    bool producesMidi() const override { return false; }
    int getNumPrograms() override { return 1; }
    int getCurrentProgram() override { return 0; }
    void setCurrentProgram(int) override {}
    const juce::String getProgramName(int) override { return "Jackdaw"; } // an empty name fails Steinberg's validator
    void changeProgramName(int, const juce::String&) override {}

  private:
    void timerCallback() override; // message thread
    void beginBounce(const std::optional<jd_transport>& at); // offline only: waits
    void followLatency();                                    // not the audio thread
    std::optional<jd_transport> transport() const noexcept;  // of the present block; audio thread, RT-safe

    AudioPath::Bus bus(juce::AudioBuffer<float>& buffer, bool isInput, int index) const noexcept; // audio thread, RT-safe

    bool wasOffline_ = false;                    // audio thread
    std::atomic<bool> bouncePending_{false};
    mutable juce::CriticalSection stateLock_;
    juce::String stateProblem_;                  // guarded
};

} // namespace jackdaw
