// The timebase master's callback. Everything below `told` belongs to libjack's audio thread.

#include <jackdaw/timebase.h>

#include <atomic>
#include <cmath>
#include <new>

#include <jackdaw/ring.hpp>
#include <jackdaw/session.h>

#include "jack_position.hpp"
#include "uncancelled.hpp"

using namespace jackdaw;

struct jd_timebase {
    uint64_t told_seq = 0; // sequence counter of `told` (odd = being written)
    jd_beat told = {};
    uint64_t taken = 0;

    double bpm = 120.0;
    uint32_t beats_per_bar = 4;
    double origin_frame = 0.0;
    double origin_beat = 0.0; // from the first bar, 0
    double rate = 0.0;
};

namespace {

constexpr double ticks_per_beat = 1920.0;

double beat_at(const jd_timebase& t, double frame) noexcept {
    return t.origin_beat + (frame - t.origin_frame) * t.bpm / (60.0 * t.rate);
}

void move_origin(jd_timebase& t, double frame, double beat) noexcept {
    t.origin_frame = frame;
    t.origin_beat = beat;
}

// What was told since the last call, if anything and if it is not being written just now. The callback says where the
// transport will be one period from now.
void take_up(jd_timebase& t, double frame, uint32_t frames) noexcept {
    const uint64_t before = load_acquire(&t.told_seq);
    if (before == t.taken || (before & 1U) != 0) return;
    const jd_beat told = {load_acquire(&t.told.bpm), load_acquire(&t.told.beat), load_acquire(&t.told.beats_per_bar),
                          load_acquire(&t.told.ns)};
    if (load_relaxed(&t.told_seq) != before) return;
    t.taken = before;
    double beat = beat_at(t, frame);
    if (told.beats_per_bar != t.beats_per_bar) beat = std::fmod(std::fmax(beat, 0.0), told.beats_per_bar);
    t.bpm = told.bpm;
    t.beats_per_bar = told.beats_per_bar;
    if (told.beat >= 0.0) {
        const double bars = told.beats_per_bar;
        double place = told.beat;
        if (told.ns != 0) {
            const auto since = static_cast<int64_t>(jd_now_ns() - told.ns);
            place += (static_cast<double>(since) * 1e-9 + frames / t.rate) * told.bpm / 60.0;
        }
        beat = place + std::round((beat - place) / bars) * bars; // the bar that is nearest to the one that was counted
        if (beat < 0.0) beat += bars;
    }
    move_origin(t, frame, beat);
}

void fill(const jd_timebase& t, JackPosition& position) noexcept {
    const double beat = std::fmax(beat_at(t, position.frame), 0.0);
    // to the nearest tick, so that a beat that falls on a frame is tick 0 of it
    const auto ticks = static_cast<int64_t>(std::llround(beat * ticks_per_beat));
    const auto per_beat = static_cast<int64_t>(ticks_per_beat);
    const int64_t beats = ticks / per_beat;
    position.valid |= position_has_bbt;
    position.bar = static_cast<int32_t>(beats / t.beats_per_bar) + 1;
    position.beat = static_cast<int32_t>(beats % t.beats_per_bar) + 1;
    position.tick = static_cast<int32_t>(ticks % per_beat);
    position.bar_start_tick = static_cast<double>(beats / t.beats_per_bar * t.beats_per_bar) * ticks_per_beat;
    position.beats_per_bar = static_cast<float>(t.beats_per_bar);
    position.beat_type = 4.0F;
    position.ticks_per_beat = ticks_per_beat;
    position.beats_per_minute = t.bpm;
}

} // namespace

jd_timebase* jd_timebase_new(double bpm, uint32_t beats_per_bar) {
    auto* timebase = new (std::nothrow) jd_timebase;
    if (timebase == nullptr) return nullptr;
    timebase->bpm = bpm;
    timebase->beats_per_bar = beats_per_bar;
    return timebase;
}

void jd_timebase_free(jd_timebase* timebase) { delete timebase; }

int jd_timebase_tell(jd_timebase* timebase, const jd_beat* beat) {
    if (!(beat->bpm >= 1.0 && beat->bpm <= 1000.0) || beat->beats_per_bar < 1 || beat->beats_per_bar > 64)
        return JD_ERROR_ARGUMENT;
    sequence_begin(&timebase->told_seq);
    store_release(&timebase->told.bpm, beat->bpm);
    store_release(&timebase->told.beat, beat->beat);
    store_release(&timebase->told.beats_per_bar, beat->beats_per_bar);
    store_release(&timebase->told.ns, beat->ns);
    sequence_end(&timebase->told_seq);
    return 0;
}

void jd_timebase_callback(int, uint32_t frames, void* position, int new_position, void* context) {
    auto& t = *static_cast<jd_timebase*>(context);
    auto& where = *static_cast<JackPosition*>(position);
    uncancelled([&] {
        if (where.frame_rate == 0) return;
        t.rate = where.frame_rate;
        if (new_position != 0) move_origin(t, 0.0, 0.0);
        take_up(t, where.frame, frames);
        fill(t, where);
    });
}
