// What a mapping is, inside the library: the addresses and bounds that were checked when it was made.
#pragma once

#include <sys/types.h>

#include <string>

#include <jackdaw/ring.hpp>
#include <jackdaw/session.h>

struct jd_segment {
    jd_header* header = nullptr;
    jackdaw::Ring output;
    jackdaw::Ring input;
    jd_midi_event* midi = nullptr;
    size_t bytes = 0;
    int descriptor = -1;
    int side = JD_SIDE_READER;
    dev_t device = 0;
    ino_t inode = 0;
    std::string path;

    // The writer's own cursors: the shared copies are only ever stored, so that nobody else can bend them.
    uint64_t out_write = 0;
    uint64_t in_read = 0;
    uint64_t midi_read = 0;
};

namespace jackdaw {

// 0 or the JD_ERROR_* of the first field that is wrong; `bytes` is the size of the file.
int check_header(const jd_header& header, uint64_t bytes) noexcept;

} // namespace jackdaw
