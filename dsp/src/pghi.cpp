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
constexpr float kOnset = 1.0F;          // nepers in a hop by which a bin rises that begins anew, with the phase of its neighbours
constexpr float kLock = 0.3F;           // part of the way by which a turned bin is drawn to the phase that its neighbour asks for
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

// From a phase referred to the first sample to one referred to the window's centre, or back.
float centred(uint32_t k) { return (k & 1U) == 0 ? 0.0F : kPi; }

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

bool valid(const float* magnitude, uint32_t bins, const float* turn, const float* told, uint32_t turns) {
    for (uint32_t k = 0; k < bins; ++k) {
        if (!(magnitude[k] >= 0.0F) || !std::isfinite(magnitude[k])) {
            return false;
        }
    }
    const float* const given = told != nullptr ? told : turn;
    return std::all_of(given, given + turns, [](float x) { return std::abs(x) <= kTwoPi; });
}

// The phase that a bin asks for in the one beside it, `side` bins up.
float beside(const Workspace& w, uint32_t k, int side) {
    const uint32_t other = side > 0 ? k + 1 : k - 1;
    return w.phase[k] + static_cast<float>(side) * 0.5F * (w.bin_slope[k] + w.bin_slope[other]);
}

// Spread the phases: first those that are told, or forward in the bins whose turn is known, unless something begins there; then from the strongest
// bins outwards, forward from the frame before, sideways within this one. Bins that were turned by themselves would drift
// apart under the hump of one partial, which then throbs: a weaker one is drawn a little to the stronger one beside it. (All
// the way, and one of two notes under one hump would be lost.)
void integrate(const jd_pghi_config& c, const float* last_level, const float* last_phase, const float* last_slope,
               const float* turn, const float* told, const Workspace& w) {
    const uint32_t bins = c.bins;
    Entry* const heap = w.heap;
    Entry* end = heap;
    const auto own_advance = [&c](uint32_t k) {
        return kTwoPi * static_cast<float>(static_cast<uint64_t>(k) * c.hop % c.fft) / static_cast<float>(c.fft);
    };
    const auto goes_on = [&](uint32_t k) { return k < c.turns && w.level[k] - last_level[k] <= kOnset; };
    for (uint32_t k = 0; k < c.turns; ++k) {
        if (w.pending[k] != 0 && (told != nullptr || goes_on(k))) {
            w.phase[k] = told != nullptr ? told[k] + centred(k) : last_phase[k] + own_advance(k) + turn[k];
            w.pending[k] = 0;
            *end++ = entry(w.level[k], k, false);
        }
    }
    for (uint32_t k = 0; k < bins; ++k) {
        if (w.pending[k] != 0) {
            *end++ = entry(last_level[k], k, true);
        }
    }
    std::make_heap(heap, end);
    while (end != heap) {
        std::pop_heap(heap, end);
        const Entry top = *--end;
        const uint32_t k = static_cast<uint32_t>(top & 0xFFFFFFFFU) >> 1U;
        if ((top & 1U) != 0) {
            if (w.pending[k] == 0) {
                continue;
            }
            const float beyond = k < c.turns && told == nullptr ? turn[k] : 0.5F * (last_slope[k] + w.time_slope[k]);
            w.phase[k] = last_phase[k] + own_advance(k) + beyond;
            w.pending[k] = 0;
            *end++ = entry(w.level[k], k, false);
            std::push_heap(heap, end);
            continue;
        }
        for (const int side : {1, -1}) {
            if (side > 0 ? k + 1 == bins : k == 0) {
                continue;
            }
            const uint32_t other = side > 0 ? k + 1 : k - 1;
            if (w.pending[other] != 0) {
                w.phase[other] = beside(w, k, side);
                w.pending[other] = 0;
                *end++ = entry(w.level[other], other, false);
                std::push_heap(heap, end);
            } else if (told == nullptr && k < c.turns && goes_on(other) && w.level[other] <= w.level[k]) {
                w.phase[other] += kLock * wrapped(beside(w, k, side) - w.phase[other]);
            }
        }
    }
}

void step(const jd_pghi_config& c, const float* magnitude, const float* turn, const float* told, uint64_t frame,
          float* state, float* phase, const Workspace& w) {
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

    integrate(c, last, last_phase, last_slope, turn, told, w);

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

int64_t jd_pghi_step(const jd_pghi_config* config, uint32_t frames, const float* magnitude, const float* turn,
                     const float* told, uint64_t first, float* state, float* phase, void* workspace) {
    const jd_pghi_config& c = *config;
    const bool good = c.bins >= 3 && c.bins <= (1U << 20U) && c.fft == 2 * (c.bins - 1) && c.hop >= 1 && c.hop <= c.fft &&
                      c.turns <= c.bins && c.tolerance > 0.0F && c.tolerance < 1.0F;
    if (!good) {
        return -1;
    }
    const Workspace w = carve(workspace, c.bins);
    for (uint32_t j = 0; j < frames; ++j) {
        const uint64_t at = static_cast<uint64_t>(j) * c.bins;
        const uint64_t low = static_cast<uint64_t>(j) * c.turns;
        const float* const turned = told == nullptr ? turn + low : nullptr;
        const float* const known = told == nullptr ? nullptr : told + low;
        if (!valid(magnitude + at, c.bins, turned, known, c.turns)) {
            return j;
        }
        step(c, magnitude + at, turned, known, first + j, state, phase + at, w);
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
