// What both programs that watch an audio thread render from: two segments, some music, and dice that fall the same each time.
#pragma once

#include <jackdaw/session.h>
#include <unistd.h>

#include <cstdint>
#include <string>
#include <vector>

namespace {

uint64_t state = 88172645463325252ULL;
uint32_t dice(uint32_t sides) {
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    return static_cast<uint32_t>(state % sides);
}

// The engine's side of two segments, named after the program; false if one cannot be made.
bool open_segments(const char* program, jd_segment* (&segments)[2]) {
    for (int i = 0; i < 2; ++i) {
        const std::string path =
            std::string("/dev/shm/jackdaw-") + program + "-" + std::to_string(getpid()) + "-" + std::to_string(i);
        if (jd_segment_open(path.c_str(), 2, 16384, &segments[i]) != 0) return false;
        jd_header* header = jd_segment_header(segments[i]);
        jd_store(&header->out_target, 4000);
        jd_store(&header->out_limit, 9000);
        jd_store(&header->ring_rate, 48000);
    }
    return true;
}

std::vector<float> some_music() {
    std::vector<float> music(4000);
    for (size_t i = 0; i < music.size(); ++i) music[i] = static_cast<float>(i % 200) / 200.0F - 0.5F;
    return music;
}

} // namespace
