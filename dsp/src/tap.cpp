// The recording tap: a single-producer single-consumer ring of interleaved frames, and a small one beside it that says
// where frames are missing.

#include <jackdaw/tap.h>

#include <array>
#include <atomic>
#include <cstring>
#include <ctime>
#include <new>

#include <jackdaw/session.h>

namespace {

constexpr uint32_t gap_slots = 64;
constexpr uint64_t patience_ns = 10000000000U;
constexpr long nap_ns = 200000;

struct Gap {
    uint64_t at;     // frames in the ring before it
    uint64_t frames; // that are missing
};

} // namespace

struct jd_tap {
    // audio thread
    alignas(64) std::atomic<uint64_t> write{0};
    std::atomic<uint64_t> gap_write{0};
    std::atomic<uint64_t> lost{0};
    uint64_t missing = 0; // lost, and not yet noted as a gap
    // drain thread
    alignas(64) std::atomic<uint64_t> read{0};
    std::atomic<uint64_t> gap_read{0};
    // set once
    alignas(64) uint32_t capacity = 0;
    float* samples = nullptr;
    std::array<Gap, gap_slots> gaps = {};
};

namespace {

uint64_t room(const jd_tap& tap) noexcept {
    return tap.capacity - (tap.write.load(std::memory_order_relaxed) - tap.read.load(std::memory_order_acquire));
}

// Only while freewheeling: sleep until `frames` fit or the drain thread has stood still for too long.
void wait_for_room(const jd_tap& tap, uint32_t frames) noexcept {
    uint64_t seen = tap.read.load(std::memory_order_relaxed);
    uint64_t since = jd_now_ns();
    while (room(tap) < frames && jd_now_ns() - since < patience_ns) {
        const timespec nap = {0, nap_ns};
        nanosleep(&nap, nullptr);
        const uint64_t now = tap.read.load(std::memory_order_relaxed);
        if (now != seen) {
            seen = now;
            since = jd_now_ns();
        }
    }
}

// Note the frames that are missing here; false if the drain thread has not yet taken earlier notes.
bool note_gap(jd_tap& tap, uint64_t at) noexcept {
    const uint64_t slot = tap.gap_write.load(std::memory_order_relaxed);
    if (slot - tap.gap_read.load(std::memory_order_acquire) == gap_slots) return false;
    tap.gaps[slot % gap_slots] = {at, tap.missing};
    tap.missing = 0;
    tap.gap_write.store(slot + 1, std::memory_order_release);
    return true;
}

void put(jd_tap& tap, uint64_t at, uint32_t channel, const float* from, uint32_t frames) noexcept {
    for (uint32_t i = 0; i < frames; ++i)
        tap.samples[((at + i) & (tap.capacity - 1)) * JD_TAP_CHANNELS + channel] = from == nullptr ? 0.0F : from[i];
}

} // namespace

jd_tap* jd_tap_new(uint32_t capacity) {
    if (capacity < 4096 || capacity > (1U << 24U) || (capacity & (capacity - 1)) != 0) return nullptr;
    auto* tap = new (std::nothrow) jd_tap;
    if (tap == nullptr) return nullptr;
    // value-initialised: every page is touched here, and not for the first time by the audio thread
    tap->samples = new (std::nothrow) float[static_cast<size_t>(capacity) * JD_TAP_CHANNELS]();
    if (tap->samples == nullptr) {
        delete tap;
        return nullptr;
    }
    tap->capacity = capacity;
    return tap;
}

void jd_tap_free(jd_tap* tap) {
    if (tap == nullptr) return;
    delete[] tap->samples;
    delete tap;
}

void jd_tap_push(jd_tap* tap, const float* const* played, const float* const* heard, const float* click, uint32_t frames,
                 int wait) {
    if (wait != 0 && frames <= tap->capacity) wait_for_room(*tap, frames);
    const uint64_t at = tap->write.load(std::memory_order_relaxed);
    if (room(*tap) < frames || (tap->missing != 0 && !note_gap(*tap, at))) {
        tap->missing += frames;
        tap->lost.fetch_add(frames, std::memory_order_relaxed);
        return;
    }
    put(*tap, at, 0, played[0], frames);
    put(*tap, at, 1, played[1], frames);
    put(*tap, at, 2, heard[0], frames);
    put(*tap, at, 3, heard[1], frames);
    put(*tap, at, 4, click, frames);
    tap->write.store(at + frames, std::memory_order_release);
}

uint32_t jd_tap_read(jd_tap* tap, float* interleaved, uint32_t maximum, uint64_t* gap) {
    *gap = 0;
    const uint64_t at = tap->read.load(std::memory_order_relaxed);
    uint64_t end = tap->write.load(std::memory_order_acquire);
    // a note is stored before the block that follows it, so whatever lies before `end` has its notes in place
    uint64_t slot = tap->gap_read.load(std::memory_order_relaxed);
    const uint64_t slots = tap->gap_write.load(std::memory_order_acquire);
    if (slot != slots && tap->gaps[slot % gap_slots].at == at) {
        *gap = tap->gaps[slot % gap_slots].frames;
        tap->gap_read.store(++slot, std::memory_order_release);
    }
    if (slot != slots && tap->gaps[slot % gap_slots].at < end) end = tap->gaps[slot % gap_slots].at;
    const uint64_t ready = end - at;
    const auto count = static_cast<uint32_t>(ready < maximum ? ready : maximum);
    const uint64_t start = at & (tap->capacity - 1);
    const uint64_t first = count < tap->capacity - start ? count : tap->capacity - start;
    std::memcpy(interleaved, tap->samples + start * JD_TAP_CHANNELS, first * JD_TAP_CHANNELS * sizeof(float));
    std::memcpy(interleaved + first * JD_TAP_CHANNELS, tap->samples, (count - first) * JD_TAP_CHANNELS * sizeof(float));
    tap->read.store(at + count, std::memory_order_release);
    return count;
}

uint64_t jd_tap_lost(const jd_tap* tap) { return tap->lost.load(std::memory_order_relaxed); }
