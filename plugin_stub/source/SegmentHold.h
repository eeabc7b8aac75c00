// The plugin's hold on its session's segment: mapped when the engine names it, silent when the engine dies, taken up again
// when another one writes. Control thread; the audio thread renders through the client alone.
#pragma once

#include <jackdaw/session.h>

#include <string>

namespace jackdaw {

class SegmentHold {
  public:
    SegmentHold();
    ~SegmentHold(); // no block may be rendered any more
    SegmentHold(const SegmentHold&) = delete;
    SegmentHold& operator=(const SegmentHold&) = delete;

    jd_client* client() const { return client_; } // set up once: any thread

    // Map the segment at `path`, if it is another one than we hold. 0 or a JD_ERROR_*.
    int attach(const std::string& path);

    // What is wanted in the rings; rate 0: nothing, the engine may rest.
    void setFormat(uint32_t rate, uint32_t block);

    // Say that we live; fade if the engine does not, and be ready for the next. Returns whether it lives.
    bool check();

    void engineGone(); // fade now
    void release();    // let go of the segment; waits for the audio thread to

    jd_header* header() const { return segment_ == nullptr ? nullptr : jd_segment_header(segment_); }

  private:
    jd_client* client_;
    jd_segment* segment_ = nullptr;
    std::string path_;
    uint32_t rate_ = 0;
    uint32_t block_ = 0;
    uint64_t instance_ = 0; // of the engine that lives
};

} // namespace jackdaw
