// Real-time phase gradient heap integration, after Z. Prusa and P. L. Soendergaard, "Real-time spectrogram inversion using
// phase gradient heap integration", DAFx-16, 2016; the relation of phase and log-magnitude gradients and the gamma of the
// Hann window from Z. Prusa, P. Balazs, P. L. Soendergaard, "A noniterative method for reconstruction of phase from STFT
// magnitude", IEEE/ACM TASLP 25(5), 2017.
//
// State, one row of `bins` floats each, all zero at the start of a stream:
//   row 0   log magnitude of the last frame, above the floor (>= 0)
//   row 1   the same of the frame before
//   row 2   phase of the last frame, referred to the centre of the window
//   row 3   time slope of the last frame's phase beyond the bin's own advance, radians per hop
// Only jd_pghi_step writes it. Phases are kept referred to the window's centre, where the frequency slope of a steady sound
// is zero; referring them to the first sample adds pi to the odd bins on the way out.

#include "jackdaw/pghi.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace {

constexpr float kPi = 3.14159265358979323846F;
constexpr float kTwoPi = 6.28318530717958647693F;
constexpr double kHannGamma = 0.25645;  // gamma / (window length)^2 of the Gaussian nearest to a Hann window
constexpr float kFloor = 1e-10F;        // magnitudes below count as silence
constexpr float kLogFloor = -23.02585092994046F;
constexpr uint32_t kStateRows = 4;

// A heap entry: log magnitude above the floor (its bits, which sort like the number), then the bin, then whether it is of the
// frame before. The order is total, so the result does not depend on how the heap is kept.
using Entry = uint64_t;

struct Workspace {
    Entry* heap;          // 2 * bins
    float* level;         // log magnitude above the floor, this frame
    float* time_slope;    // radians per hop beyond the bin's own advance
    float* bin_slope;     // radians per bin
    float* phase;         // centre-referred
    uint8_t* pending;     // significant and not yet reached
};

uint64_t padded(uint32_t bins) { return (static_cast<uint64_t>(bins) + 7U) & ~static_cast<uint64_t>(7U); }

Workspace carve(void* memory, uint32_t bins) {
    Workspace w{};
    char* at = static_cast<char*>(memory);
    const uint64_t row = padded(bins);
    w.heap = reinterpret_cast<Entry*>(at);
    at += 2 * row * sizeof(Entry);
    float* floats = reinterpret_cast<float*>(at);
    w.level = floats;
    w.time_slope = floats + row;
    w.bin_slope = floats + 2 * row;
    w.phase = floats + 3 * row;
    w.pending = reinterpret_cast<uint8_t*>(floats + 4 * row);
    return w;
}

Entry entry(float level, uint32_t bin, bool previous) {
    uint32_t bits = 0;
    std::memcpy(&bits, &level, sizeof bits);
    return (static_cast<Entry>(bits) << 32U) | (static_cast<Entry>(bin) << 1U) | (previous ? 1U : 0U);
}

float wrapped(float phase) {
    return std::min(std::max(phase - kTwoPi * std::floor(phase / kTwoPi + 0.5F), -kPi), kPi);
}

// Counter-based: one round of splitmix64's finaliser over seed, frame and bin (Steele, Lea, Flood 2014).
uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31U);
}

float random_phase(uint64_t key, uint32_t bin) {
    const uint64_t bits = mixed(key + bin * 0x9E3779B97F4A7C15ULL) >> 40U;  // 24 bits
    return (static_cast<float>(bits) * (1.0F / 16777216.0F) - 0.5F) * kTwoPi;
}

bool valid(const float* magnitude, uint32_t bins) {
    for (uint32_t k = 0; k < bins; ++k) {
        if (!(magnitude[k] >= 0.0F) || !std::isfinite(magnitude[k])) {
            return false;
        }
    }
    return true;
}

// Spread the phases from the strongest bins outwards: forward from the frame before, sideways within this one.
void integrate(uint32_t bins, uint32_t fft, uint32_t hop, const float* last_level, const float* last_phase,
               const float* last_slope, const Workspace& w) {
    Entry* const heap = w.heap;
    Entry* end = heap;
    uint32_t left = 0;
    for (uint32_t k = 0; k < bins; ++k) {
        if (w.pending[k] != 0) {
            *end++ = entry(last_level[k], k, true);
            ++left;
        }
    }
    std::make_heap(heap, end);
    while (left > 0) {
        std::pop_heap(heap, end);
        const Entry top = *--end;
        const uint32_t k = static_cast<uint32_t>(top & 0xFFFFFFFFU) >> 1U;
        if ((top & 1U) != 0) {
            if (w.pending[k] == 0) {
                continue;
            }
            const uint64_t turn = static_cast<uint64_t>(k) * hop % fft;
            const float advance = kTwoPi * static_cast<float>(turn) / static_cast<float>(fft);
            w.phase[k] = last_phase[k] + advance + 0.5F * (last_slope[k] + w.time_slope[k]);
            w.pending[k] = 0;
            --left;
            *end++ = entry(w.level[k], k, false);
            std::push_heap(heap, end);
            continue;
        }
        if (k + 1 < bins && w.pending[k + 1] != 0) {
            w.phase[k + 1] = w.phase[k] + 0.5F * (w.bin_slope[k] + w.bin_slope[k + 1]);
            w.pending[k + 1] = 0;
            --left;
            *end++ = entry(w.level[k + 1], k + 1, false);
            std::push_heap(heap, end);
        }
        if (k > 0 && w.pending[k - 1] != 0) {
            w.phase[k - 1] = w.phase[k] - 0.5F * (w.bin_slope[k] + w.bin_slope[k - 1]);
            w.pending[k - 1] = 0;
            --left;
            *end++ = entry(w.level[k - 1], k - 1, false);
            std::push_heap(heap, end);
        }
    }
}

void step(const jd_pghi_config& c, const float* magnitude, uint64_t frame, float* state, float* phase, const Workspace& w) {
    const uint32_t bins = c.bins;
    float* const last = state;
    float* const before = state + bins;
    float* const last_phase = state + 2 * static_cast<uint64_t>(bins);
    float* const last_slope = state + 3 * static_cast<uint64_t>(bins);

    const double gamma = kHannGamma * static_cast<double>(c.fft) * c.fft;
    const float per_bin = static_cast<float>(static_cast<double>(c.hop) * c.fft / gamma);
    const float per_hop = static_cast<float>(gamma / (static_cast<double>(c.hop) * c.fft));

    float peak = 0.0F;
    for (uint32_t k = 0; k < bins; ++k) {
        w.level[k] = std::log(std::max(magnitude[k], kFloor)) - kLogFloor;
        w.level[k] = std::max(w.level[k], 0.0F);
        peak = std::max(peak, std::max(w.level[k], last[k]));
    }
    const float threshold = std::max(peak + std::log(c.tolerance), 0.0F);

    // Time slope from the slope of the log magnitude over bins (even at DC and Nyquist), frequency slope from its slope over
    // frames: the mean of the two- and the three-point backward differences, since the latter alone amplifies errors of the
    // magnitudes. A group delay beyond the window's ends is no group delay: clamp.
    w.time_slope[0] = 0.0F;
    w.time_slope[bins - 1] = 0.0F;
    for (uint32_t k = 1; k + 1 < bins; ++k) {
        w.time_slope[k] = 0.5F * per_bin * (w.level[k + 1] - w.level[k - 1]);
    }
    for (uint32_t k = 0; k < bins; ++k) {
        const float rise = 1.25F * w.level[k] - 1.5F * last[k] + 0.25F * before[k];
        w.bin_slope[k] = std::min(std::max(-per_hop * rise, -kPi), kPi);
        w.pending[k] = w.level[k] > threshold ? 1 : 0;
    }
    const uint64_t key = mixed(mixed(c.seed + 0x9E3779B97F4A7C15ULL) + frame);
    for (uint32_t k = 0; k < bins; ++k) {
        if (w.pending[k] == 0) {
            w.phase[k] = random_phase(key, k);
        }
    }

    integrate(bins, c.fft, c.hop, last, last_phase, last_slope, w);

    // The spectrum of a real frame is real at DC and Nyquist.
    for (const uint32_t k : {0U, bins - 1U}) {
        w.phase[k] = std::abs(wrapped(w.phase[k])) > 0.5F * kPi ? kPi : 0.0F;
    }
    for (uint32_t k = 0; k < bins; ++k) {
        last_phase[k] = wrapped(w.phase[k]);
        phase[k] = (k & 1U) == 0 ? last_phase[k] : last_phase[k] - std::copysign(kPi, last_phase[k]);
    }
    std::memcpy(before, last, bins * sizeof(float));
    std::memcpy(last, w.level, bins * sizeof(float));
    std::memcpy(last_slope, w.time_slope, bins * sizeof(float));
}

}  // namespace

uint32_t jd_pghi_state_floats(uint32_t bins) { return kStateRows * bins; }

uint32_t jd_pghi_workspace_bytes(uint32_t bins) {
    const uint64_t row = padded(bins);
    return static_cast<uint32_t>(row * (2 * sizeof(Entry) + 4 * sizeof(float) + sizeof(uint8_t)));
}

int64_t jd_pghi_step(const jd_pghi_config* config, uint32_t frames, const float* magnitude, uint64_t first, float* state,
                     float* phase, void* workspace) {
    const jd_pghi_config& c = *config;
    const bool good = c.bins >= 3 && c.bins <= (1U << 20U) && c.fft == 2 * (c.bins - 1) && c.hop >= 1 && c.hop <= c.fft &&
                      c.tolerance > 0.0F && c.tolerance < 1.0F;
    if (!good) {
        return -1;
    }
    const Workspace w = carve(workspace, c.bins);
    for (uint32_t j = 0; j < frames; ++j) {
        const uint64_t at = static_cast<uint64_t>(j) * c.bins;
        if (!valid(magnitude + at, c.bins)) {
            return j;
        }
        step(c, magnitude + at, first + j, state, phase + at, w);
    }
    return frames;
}

void jd_stereo_spectra(uint64_t count, const float* left, const float* right, const float* mid, const float* mid_phase,
                       float* left_spectrum, float* right_spectrum) {
    for (uint64_t i = 0; i < count; ++i) {
        const double l = left[i];
        const double r = right[i];
        const double sum = 2.0 * mid[i];
        // Projections of L and R on the direction of M (cosine rule), as cosines, within what a cosine can be.
        const double difference = l * l - r * r;
        const double cos_l = std::min(std::max((sum * sum + difference) / std::max(2.0 * sum * l, 1e-300), -1.0), 1.0);
        const double cos_r = std::min(std::max((sum * sum - difference) / std::max(2.0 * sum * r, 1e-300), -1.0), 1.0);
        const double sin_l = std::sqrt(1.0 - cos_l * cos_l);
        const double sin_r = -std::sqrt(1.0 - cos_r * cos_r);
        const double c = std::cos(mid_phase[i]);
        const double s = std::sin(mid_phase[i]);
        left_spectrum[2 * i] = static_cast<float>(l * (cos_l * c - sin_l * s));
        left_spectrum[2 * i + 1] = static_cast<float>(l * (cos_l * s + sin_l * c));
        right_spectrum[2 * i] = static_cast<float>(r * (cos_r * c - sin_r * s));
        right_spectrum[2 * i + 1] = static_cast<float>(r * (cos_r * s + sin_r * c));
    }
}
