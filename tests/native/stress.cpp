// Engine, audio and control threads on the same segments at once, for the sanitizers and for torn samples.
//
// All threads use one mapping of each segment, so that ThreadSanitizer sees both sides touch the same addresses. The music
// is a ramp of integers over 2^24, the right channel the negative of the left: any torn, lost or doubled frame shows.
//
//   stress SECONDS PREFIX           both phases; exit status 1 and a line on stderr for each broken promise
//   stress SECONDS PREFIX planted   two engines on one segment, which has room for one: must be noticed

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <jackdaw/session.h>

namespace {

constexpr double scale = 16777216.0;
constexpr uint32_t capacity = 16384;
constexpr uint32_t rate = 48000;

std::atomic<bool> running{true};
std::atomic<int> faults{0};
std::atomic<uint64_t> checked{0};

void fault(const char* what, double a = 0, double b = 0) {
    if (faults.fetch_add(1) < 20) std::fprintf(stderr, "fault: %s (%.10g, %.10g)\n", what, a, b);
}

double number(float sample) { return static_cast<double>(sample) * scale; }

// Writes the ramp in random pieces, reads the input and the MIDI back. `restless`: with resets and bursts.
void engine(jd_segment* segment, bool restless, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<float> piece(2 * 4096);
    std::vector<float> input(2 * 4096);
    jd_midi_event events[64];
    uint64_t at = 0;
    double last_input = 0;
    uint64_t last_midi = 0;
    while (running.load(std::memory_order_relaxed)) {
        const auto frames = static_cast<uint32_t>(1 + random() % 2000);
        // at rest the ring is kept half full, so that what is played and what is heard of it always fit
        if (jd_writer_fill(segment) + frames <= (restless ? capacity : capacity / 2)) {
            for (uint32_t i = 0; i < frames; ++i) {
                const auto value = static_cast<float>(static_cast<double>(++at & 0xFFFFFFU) / scale);
                piece[2 * i] = value;
                piece[2 * i + 1] = -value;
            }
            if (jd_writer_write(segment, piece.data(), frames) != 0) fault("write refused though there was space");
        }
        const uint64_t available = jd_writer_input_available(segment);
        const auto take = static_cast<uint32_t>(available < 4096 ? available : 4096);
        if (jd_writer_read_input(segment, input.data(), take) != 0) fault("input refused though available");
        for (uint32_t i = 0; i < take; ++i) {
            const double value = number(input[2 * i]);
            if (input[2 * i] != -input[2 * i + 1]) fault("input torn", input[2 * i], input[2 * i + 1]);
            if (!restless && last_input != 0 && std::fmod(last_input + 1, scale) != value)
                fault("input not continuous", last_input, value);
            last_input = value;
        }
        const uint32_t notes = jd_writer_read_midi(segment, events, 64);
        for (uint32_t i = 0; i < notes; ++i) {
            if (events[i].size != 3 || events[i].frame < last_midi || events[i].bytes[1] != events[i].bytes[2])
                fault("MIDI torn", static_cast<double>(events[i].frame), static_cast<double>(last_midi));
            last_midi = events[i].frame;
        }
        jd_anchor anchor;
        jd_transport transport;
        if (jd_read_anchor(segment, &anchor) == 0 && anchor.ns == 0) fault("anchor without a time");
        if (jd_read_transport(segment, &transport) == 0 && static_cast<double>(transport.frame) != transport.bpm)
            fault("transport torn", static_cast<double>(transport.frame), transport.bpm);
        if (restless && random() % 50 == 0) jd_writer_reset(segment);
        if (random() % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % (restless ? 400 : 50)));
    }
}

// Renders blocks of any size. At rest it waits for the engine, and every sample must be the next one; when restless, only
// what every event must leave true is checked.
void audio(jd_client* client, bool restless, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<float> left(8192), right(8192), in_left(8192), in_right(8192);
    float* out[2] = {left.data(), right.data()};
    const float* in[2] = {in_left.data(), in_right.data()};
    uint64_t heard = 0;
    uint64_t block = 0;
    uint64_t played = 0;
    double last = -1;
    while (running.load(std::memory_order_relaxed)) {
        const auto frames = static_cast<uint32_t>(1 + random() % (random() % 16 == 0 ? 4096 : 256));
        for (uint32_t i = 0; i < frames; ++i) {
            in_left[i] = static_cast<float>(static_cast<double>(++heard & 0xFFFFFFU) / scale);
            in_right[i] = -in_left[i];
        }
        ++block;
        const auto key = static_cast<uint8_t>(block & 127U);
        const uint8_t note[3] = {0x90, key, key};
        jd_client_midi(client, random() % frames, note, 3);
        jd_transport transport{};
        transport.frame = block;
        transport.bpm = static_cast<double>(block);
        jd_client_transport(client, &transport);
        jd_render(client, in, out, 2, 2, frames, restless ? 0 : JD_RENDER_OFFLINE);
        if (!running.load(std::memory_order_relaxed)) break;
        for (uint32_t i = 0; i < frames; ++i) {
            if (left[i] != -right[i]) fault("output torn", left[i], right[i]);
            if (!(std::fabs(left[i]) <= 2.01F)) fault("output out of range", left[i]);
            if (restless || ++played <= 240) continue; // the first fade-in
            const double value = number(left[i]);
            if (last >= 0 && value != std::fmod(last + 1, scale)) fault("output not continuous", last, value);
            last = value;
        }
        checked.fetch_add(frames, std::memory_order_relaxed);
        if (restless && random() % 4 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 1000));
    }
}

// Everything that a control thread may ask, in any order.
void control(jd_client* client, jd_segment* const* segments, unsigned seed) {
    std::mt19937 random(seed);
    while (running.load(std::memory_order_relaxed)) {
        jd_segment* segment = segments[random() % 2];
        switch (random() % 9) {
            case 0: jd_client_arm(client, random() % 4 != 0); break;
            case 1: jd_client_set_volume(client, static_cast<float>(random() % 100) / 100.0F); break;
            case 2: jd_client_request_stop(client, random() % 4 == 0); break;
            case 3:
                if (jd_client_set_segment(client, random() % 4 == 0 ? nullptr : segment) != 0) fault("hand-over hangs");
                break;
            case 4: jd_client_engine_gone(client, jd_load(&jd_segment_header(segment)->writer_instance)); break;
            case 5: jd_client_engine_gone(client, 0); break;
            case 6: jd_jack_xrun(client); break;
            case 7: jd_jack_freewheel(random() % 8 == 0, client); break;
            default: (void)jd_client_stopped(client); (void)jd_segment_replaced(segment); break;
        }
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    }
}

void phase(jd_client* client, jd_segment* const* segments, bool restless, bool planted, double seconds) {
    running = true;
    jd_client_set_patience(client, restless ? 3000000 : 2000000000);
    jd_client_freewheel(client, 0);
    jd_client_arm(client, 1);
    if (jd_client_set_segment(client, segments[0]) != 0) fault("hand-over hangs");
    for (int i = 0; i < 2; ++i) {
        jd_header* header = jd_segment_header(segments[i]);
        jd_store(&header->out_target, 6000);
        jd_store(&header->out_limit, restless ? 9000 : 0);
        jd_store(&header->ring_rate, rate);
    }
    std::vector<std::thread> threads;
    threads.emplace_back(engine, segments[0], restless, 1);
    if (planted) threads.emplace_back(engine, segments[0], restless, 5);
    if (restless) threads.emplace_back(engine, segments[1], restless, 2);
    if (restless) threads.emplace_back(control, client, segments, 3);
    threads.emplace_back(audio, client, restless, 4);
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    running = false;
    for (auto& thread : threads) thread.join();
    if (jd_client_set_segment(client, nullptr) != 0) fault("hand-over hangs");
}

} // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    const double seconds = std::atof(argv[1]);
    const bool planted = argc > 3 && std::strcmp(argv[3], "planted") == 0;
    jd_segment* segments[2] = {nullptr, nullptr};
    for (int i = 0; i < 2; ++i) {
        const std::string path = std::string(argv[2]) + std::to_string(i);
        const int code = jd_segment_open(path.c_str(), 2, capacity, &segments[i]);
        if (code != 0) {
            std::fprintf(stderr, "%s: %s\n", path.c_str(), jd_error_text(code));
            return 2;
        }
    }
    jd_client* client = jd_client_new();
    jd_client_set_rate(client, rate);
    phase(client, segments, false, planted, seconds / 2);
    const uint64_t quiet = checked.load();
    if (!planted) phase(client, segments, true, false, seconds / 2);
    const jd_header* header = jd_segment_header(segments[0]);
    std::printf("quiet %llu restless %llu underruns %llu dropped %llu overruns %llu fades %llu faults %d\n",
                static_cast<unsigned long long>(quiet), static_cast<unsigned long long>(checked.load() - quiet),
                static_cast<unsigned long long>(jd_load(&header->underruns)),
                static_cast<unsigned long long>(jd_load(&header->dropped_frames)),
                static_cast<unsigned long long>(jd_load(&header->overruns)),
                static_cast<unsigned long long>(jd_load(&header->fades)), faults.load());
    jd_client_free(client);
    jd_segment_close(segments[0]);
    jd_segment_close(segments[1]);
    return faults.load() == 0 ? 0 : 1;
}
