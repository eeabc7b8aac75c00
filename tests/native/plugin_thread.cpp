// Runs the plugin's processBlock with everything that may happen to it in real time, and watches what it does meanwhile.
//
//   plugin_thread BLOCKS         counts calls of the hooked functions from inside processBlock; exit 1 if there are any
//   plugin_thread BLOCKS plant   the same with one allocation planted
//
// There is no engine: segments are given to the renderer here, and hand-overs come from another thread, as in life.

#include <string>
#include <thread>
#include <vector>

#include "Processor.h"
#include "hooks.hpp"
#include "segments.hpp"

namespace {

constexpr int block = 512, most = 1500; // blocks may be longer than was prepared

class Head final : public juce::AudioPlayHead {
  public:
    juce::Optional<PositionInfo> getPosition() const override {
        PositionInfo info;
        info.setBpm(97.0);
        info.setTimeSignature(TimeSignature{7, 8});
        info.setPpqPosition(quarters);
        info.setIsPlaying(true);
        return info;
    }
    double quarters = 0.0;
};

void engine(jd_segment* segment, const std::vector<float>& music) {
    if (dice(100) != 0 && jd_writer_fill(segment) < 6000) jd_writer_write(segment, music.data(), 2000);
    if (dice(1000) == 0) jd_writer_reset(segment);
    if (dice(100) == 0) jd_writer_skip_input(segment, 100000);
    jd_midi_event events[8];
    jd_writer_read_midi(segment, events, 8);
}

} // namespace

int main(int argc, char** argv) {
    const uint64_t blocks = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1000;
    const bool plant = argc > 2;
    setenv("JACKDAW", "/nowhere/jackdaw", 1);
    const juce::ScopedJuceInitialiser_GUI juce;
    jackdaw::Processor processor;
    const auto stereo = juce::AudioChannelSet::stereo();
    juce::AudioProcessor::BusesLayout layout;
    layout.inputBuses = {stereo, stereo};
    layout.outputBuses = {stereo};
    if (!processor.setBusesLayout(layout)) return 2;
    Head head;
    processor.setPlayHead(&head);
    processor.setRateAndBufferSizeDetails(48000.0, block);
    processor.prepareToPlay(48000.0, block);

    jd_segment* segments[2];
    if (!open_segments("plugin-thread", segments)) return 2;
    const std::vector<float> music = some_music();

    std::atomic<bool> done{false};
    std::thread audio([&] {
        juce::AudioBuffer<float> buffer(4, most);
        juce::MidiBuffer notes, none;
        for (int i = 0; i < 40; ++i) notes.addEvent(juce::MidiMessage::noteOn(1, 40 + i, 1.0F), i * 30);
        for (uint64_t at = 0; at < blocks; ++at) {
            for (jd_segment* segment : segments) engine(segment, music);
            const int frames = static_cast<int>(dice(10) == 0 ? 1 + dice(most) : 1 + dice(block));
            float* channels[4];
            for (int c = 0; c < 4; ++c) channels[c] = buffer.getWritePointer(c);
            juce::AudioBuffer<float> view(channels, 4, frames);
            for (int c = 0; c < 4; ++c) juce::FloatVectorOperations::fill(channels[c], 0.1F, frames);
            head.quarters += frames / 48000.0;
            const uint32_t knob = dice(jackdaw::parameterCount);
            inside = true;
            if (dice(20) == 0) processor.parameters[static_cast<int>(knob)].setValue(static_cast<float>(dice(100)) / 99.0F);
            if (dice(50) == 0) processor.path.setLatency(static_cast<int>(dice(20000)));
            if (plant && at == blocks / 2) std::free(std::malloc(8));
            processor.processBlock(view, dice(2) == 0 ? notes : none);
            inside = false;
        }
        done = true;
    });
    uint64_t handovers = 0;
    while (!done) {
        if (jd_client_set_segment(processor.link.client(), handovers % 7 == 0 ? nullptr : segments[handovers % 2]) != 0) break;
        ++handovers;
        usleep(200);
    }
    audio.join();
    jd_client_set_segment(processor.link.client(), nullptr);
    bool any = false;
    std::printf("{\"blocks\": %llu, \"handovers\": %llu, \"calls\": {", static_cast<unsigned long long>(blocks),
                static_cast<unsigned long long>(handovers));
    for (int i = 0; i < hook_count; ++i) {
        if (hooks[i].calls == 0) continue;
        std::printf("%s\"%s\": %llu", any ? ", " : "", hooks[i].name, static_cast<unsigned long long>(hooks[i].calls));
        any = true;
    }
    std::printf("}}\n");
    for (jd_segment* segment : segments) jd_segment_close(segment);
    return any ? 1 : 0;
}
