// What libjack's binary interface lays down of jack_position_t: JACK hands it to the callbacks, none of its headers is needed.
#pragma once

#include <cstdint>

namespace jackdaw {

#if defined(__x86_64__) || defined(__i386__)
#define JACKDAW_PACKED __attribute__((packed))
#else
#define JACKDAW_PACKED
#endif

struct JACKDAW_PACKED JackPosition {
    uint64_t unique_1;
    uint64_t usecs;
    uint32_t frame_rate;
    uint32_t frame;
    uint32_t valid;
    int32_t bar;
    int32_t beat;
    int32_t tick;
    double bar_start_tick;
    float beats_per_bar;
    float beat_type;
    double ticks_per_beat;
    double beats_per_minute;
    unsigned char rest[256]; // frame_time ... unique_2, and room for what a later version may add
};

constexpr uint32_t position_has_bbt = 0x10;

} // namespace jackdaw
