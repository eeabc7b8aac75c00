// What the audio thread tells about a block after it was rendered: counters, meters, callback times.
//
// Audio thread, RT-safe. It is the only one that stores to these fields.

#include <algorithm>

#include "client.hpp"
#include "realtime.hpp"

using namespace jackdaw;

namespace {

constexpr float hold_seconds = 0.74F; // time constant: a held peak falls by 20 dB in 1.7 s, as a PPM's does

// Lower bounds of histogram bins in ns: 250 * 2^(bin / 4); bin 0 takes what is less, too.
struct Bounds {
    uint64_t of[JD_HISTOGRAM_BINS];
    constexpr Bounds() : of() {
        constexpr double quarter[4] = {1.0, 1.189207115002721, 1.4142135623730951, 1.681792830507429};
        for (int bin = 0; bin < JD_HISTOGRAM_BINS; ++bin)
            of[bin] = static_cast<uint64_t>(250.0 * quarter[bin % 4] * static_cast<double>(uint64_t{1} << (bin / 4)));
    }
};
constexpr Bounds bounds;

void hold(float* field, float peak, float decay) noexcept { store_relaxed(field, std::max(peak, load_relaxed(field) * decay)); }

} // namespace

void jackdaw::account(jd_client* client, jd_header* header, const float* peak_in, const float* peak_out, uint32_t frames,
                      uint64_t start) noexcept {
    const auto rate = static_cast<float>(std::max<uint32_t>(client->audio.rate, 1));
    const float decay = std::max(0.0F, 1.0F - static_cast<float>(frames) / (rate * hold_seconds));
    for (int c = 0; c < 2; ++c) {
        store_relaxed(&header->peak_in[c], peak_in[c]);
        store_relaxed(&header->peak_out[c], peak_out[c]);
        hold(&header->hold_in[c], peak_in[c], decay);
        hold(&header->hold_out[c], peak_out[c], decay);
    }
    const uint64_t xruns = client->xruns.exchange(0, std::memory_order_relaxed);
    if (xruns != 0) {
        add(&header->xruns, xruns);
        store_relaxed(&header->last_xrun_ns, client->last_xrun_ns.load(std::memory_order_relaxed));
    }
    add(&header->blocks, 1);
    if (start == 0) return;
    const uint64_t took = jd_now_ns() - start;
    const auto* above = std::upper_bound(bounds.of, bounds.of + JD_HISTOGRAM_BINS, took);
    add(&header->histogram[std::max<int64_t>(0, above - bounds.of - 1)], 1);
    if (took > load_relaxed(&header->callback_ns_max)) store_relaxed(&header->callback_ns_max, took);
    if (static_cast<float>(took) * rate > 0.5e9F * static_cast<float>(frames)) add(&header->late_callbacks, 1);
}
