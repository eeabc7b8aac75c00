#include "SegmentHold.h"

#include <new>

namespace jackdaw {

SegmentHold::SegmentHold() : client_(jd_client_new()) {
    if (client_ == nullptr) throw std::bad_alloc();
}

SegmentHold::~SegmentHold() {
    release();
    jd_client_free(client_);
}

int SegmentHold::attach(const std::string& path) {
    if (segment_ != nullptr && path == path_ && jd_segment_replaced(segment_) == 0) return 0;
    jd_segment* fresh = nullptr;
    if (const int code = jd_segment_attach(path.c_str(), &fresh); code != 0) return code;
    if (jd_client_set_segment(client_, fresh) != 0) { // the host hangs inside a block: try again later
        jd_segment_close(fresh);
        return JD_ERROR_BUSY;
    }
    if (segment_ != nullptr) jd_segment_close(segment_);
    segment_ = fresh;
    path_ = path;
    instance_ = 0;
    const uint32_t rate = rate_;
    rate_ = 0;
    setFormat(rate, block_);
    return 0;
}

void SegmentHold::setFormat(uint32_t rate, uint32_t block) {
    const bool same = rate == rate_ && block == block_;
    rate_ = rate;
    block_ = block;
    if (same || segment_ == nullptr) return;
    jd_header* h = header();
    jd_store(&h->reader_block, block);
    jd_store(&h->reader_rate, rate);
}

bool SegmentHold::check() {
    if (segment_ == nullptr) return false;
    jd_store(&header()->reader_heartbeat_ns, jd_now_ns());
    if (jd_segment_alive(segment_, JD_SIDE_WRITER) == 0) {
        engineGone();
        return false;
    }
    if (instance_ == 0) instance_ = jd_load(&header()->writer_instance);
    return true;
}

void SegmentHold::engineGone() {
    if (segment_ == nullptr) return;
    jd_client_engine_gone(client_, jd_load(&header()->writer_instance));
    instance_ = 0;
}

void SegmentHold::release() {
    if (segment_ == nullptr) return;
    setFormat(0, block_);
    if (jd_client_set_segment(client_, nullptr) == 0) jd_segment_close(segment_);
    segment_ = nullptr; // a segment that a hanging host still reads stays mapped
}

} // namespace jackdaw
