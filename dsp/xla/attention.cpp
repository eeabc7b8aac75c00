// Attention of one query over a ring of keys and values, a custom call of XLA's: what a query finds, float32 (heads, size),
// and the rings with the newest key and value put in, float32 (heads, window, size).
//
// Rings are values, so the next one is a new array: it is written while the old one is read, head by head, in one way
// through the caches. Slot `frame mod window` is the newest; slots that nothing was put in yet are not seen. Invariant:
// sums are taken in one order, so equal input gives equal bits.

#include <xla/ffi/api/ffi.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "multiply.h"

namespace {

constexpr int64_t kLanes = 8;

struct Sizes {
    int64_t heads, window, size;
};

// exp of values of -87 .. 0, to 2e-7 of itself: 2^n by the exponent's bits, the rest by Cephes' polynomial.
JACKDAW_INLINE float exponential(float x) {
    const float whole = std::floor(x * 1.44269504f + 0.5f);
    const float rest = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
    float sum = 1.9875691500e-4f;
    sum = sum * rest + 1.3981999507e-3f;
    sum = sum * rest + 8.3334519073e-3f;
    sum = sum * rest + 4.1665795894e-2f;
    sum = sum * rest + 1.6666665459e-1f;
    sum = sum * rest + 5.0000001201e-1f;
    sum = sum * rest * rest + rest + 1.0f;
    const int32_t bits = (static_cast<int32_t>(whole) + 127) << 23;
    float power = 0;
    std::memcpy(&power, &bits, sizeof power);
    return sum * power;
}

JACKDAW_INLINE float dot(const float* __restrict one, const float* __restrict other, int64_t size) {
    float part[kLanes] = {};
    int64_t at = 0;
    for (; at + kLanes <= size; at += kLanes)
        for (int64_t lane = 0; lane < kLanes; ++lane) part[lane] += one[at + lane] * other[at + lane];
    for (; at < size; ++at) part[at % kLanes] += one[at] * other[at];
    return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

JACKDAW_ANY_PROCESSOR
void attend(const float* query, const float* key, const float* value, const float* keys, const float* values,
            int64_t frame, const Sizes& of, float* weights, float* found, float* next_keys, float* next_values) {
    const int64_t slot = frame % of.window, seen = std::min(frame + 1, of.window), ring = of.window * of.size;
    const float scale = 1.0f / std::sqrt(static_cast<float>(of.size));
    for (int64_t head = 0; head < of.heads; ++head) {
        const int64_t one = head * of.size;
        float* mine = next_keys + head * ring;
        std::memcpy(mine, keys + head * ring, sizeof(float) * static_cast<size_t>(ring));
        std::memcpy(mine + slot * of.size, key + one, sizeof(float) * static_cast<size_t>(of.size));
        for (int64_t at = 0; at < seen; ++at) weights[at] = scale * dot(query + one, mine + at * of.size, of.size);
        const float most = *std::max_element(weights, weights + seen);
        for (int64_t at = 0; at < seen; ++at) weights[at] = exponential(std::max(weights[at] - most, -87.0f));
        float total = 0;
        for (int64_t at = 0; at < seen; ++at) total += weights[at];
        mine = next_values + head * ring;
        std::memcpy(mine, values + head * ring, sizeof(float) * static_cast<size_t>(ring));
        std::memcpy(mine + slot * of.size, value + one, sizeof(float) * static_cast<size_t>(of.size));
        float* out = found + one;
        std::fill_n(out, of.size, 0.0f);
        for (int64_t at = 0; at < seen; ++at) {
            const float weight = weights[at] / total;
            const float* from = mine + at * of.size;
            for (int64_t i = 0; i < of.size; ++i) out[i] += weight * from[i];
        }
    }
}

using xla::ffi::AnyBuffer;
using xla::ffi::Buffer;
using xla::ffi::Error;
using xla::ffi::F32;
using xla::ffi::ResultBuffer;
using xla::ffi::S32;

Error attention(Buffer<F32> query, Buffer<F32> key, Buffer<F32> value, Buffer<F32> keys, Buffer<F32> values,
                Buffer<S32> frame, ResultBuffer<F32> found, ResultBuffer<F32> next_keys, ResultBuffer<F32> next_values) {
    const auto sizes = keys.dimensions();
    const bool fits = sizes.size() == 3 && sizes[1] > 0 && values.dimensions() == sizes && frame.element_count() == 1;
    if (!fits || query.element_count() != static_cast<size_t>(sizes[0] * sizes[2]) ||
        key.element_count() != query.element_count() || value.element_count() != query.element_count())
        return Error::InvalidArgument("attention wants (heads, size) and rings of (heads, window, size)");
    const Sizes of{sizes[0], sizes[1], sizes[2]};
    std::vector<float> weights(static_cast<size_t>(of.window));
    attend(query.typed_data(), key.typed_data(), value.typed_data(), keys.typed_data(), values.typed_data(),
           frame.typed_data()[0], of, weights.data(), found->typed_data(), next_keys->typed_data(),
           next_values->typed_data());
    return Error::Success();
}

}  // namespace

#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(jd_attention, attention,
                              xla::ffi::Ffi::Bind()
                                  .Arg<Buffer<F32>>()
                                  .Arg<Buffer<F32>>()
                                  .Arg<Buffer<F32>>()
                                  .Arg<Buffer<F32>>()
                                  .Arg<Buffer<F32>>()
                                  .Arg<Buffer<S32>>()
                                  .Ret<Buffer<F32>>()
                                  .Ret<Buffer<F32>>()
                                  .Ret<Buffer<F32>>());
#pragma GCC visibility pop
