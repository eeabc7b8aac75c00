// y = x w with x float32 (rows, inputs), w bfloat16 (inputs, outputs), y float32 (rows, outputs).
//
// Weights stay half as long as floats on their way through the caches and are widened in registers, which any processor
// can. Invariant: the sums of a row are taken in one order, whichever rows are beside it.
#ifndef JACKDAW_XLA_MULTIPLY_H
#define JACKDAW_XLA_MULTIPLY_H

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#define JACKDAW_ANY_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define JACKDAW_ANY_PROCESSOR
#endif
#define JACKDAW_INLINE __attribute__((always_inline)) inline  // so that each clone has its own

namespace jackdaw {

constexpr int64_t kDeep = 8;  // rows of w that are added at once
constexpr int kWide = 4;      // rows of x that share their way

JACKDAW_INLINE float widened(uint16_t half) {
    const uint32_t bits = static_cast<uint32_t>(half) << 16;
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// y += x w of Rows rows of x and Deep rows of w.
template <int Rows, int64_t Deep>
JACKDAW_INLINE void add(const float* __restrict x, const uint16_t* __restrict w, float* __restrict y, int64_t inputs,
                        int64_t outputs) {
    float factor[Rows][Deep];
    for (int r = 0; r < Rows; ++r) std::memcpy(factor[r], x + r * inputs, sizeof factor[r]);
#pragma GCC ivdep
    for (int64_t n = 0; n < outputs; ++n) {
        float sum[Rows];
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) sum[r] = y[r * outputs + n];
#pragma GCC unroll 8
        for (int64_t k = 0; k < Deep; ++k) {
            const float weight = widened(w[k * outputs + n]);
#pragma GCC unroll 8
            for (int r = 0; r < Rows; ++r) sum[r] += factor[r][k] * weight;
        }
#pragma GCC unroll 8
        for (int r = 0; r < Rows; ++r) y[r * outputs + n] = sum[r];
    }
}

// The same of any number of rows of x: while a strip of w is near, all of them meet it.
template <int64_t Deep>
JACKDAW_INLINE void add_all(const float* x, const uint16_t* w, float* y, int64_t rows, int64_t inputs, int64_t outputs) {
    for (; rows >= kWide; rows -= kWide, x += kWide * inputs, y += kWide * outputs)
        add<kWide, Deep>(x, w, y, inputs, outputs);
    if (rows == 3) add<3, Deep>(x, w, y, inputs, outputs);
    if (rows == 2) add<2, Deep>(x, w, y, inputs, outputs);
    if (rows == 1) add<1, Deep>(x, w, y, inputs, outputs);
}

JACKDAW_INLINE void multiply(const float* x, const uint16_t* w, float* y, int64_t rows, int64_t inputs,
                             int64_t outputs) {
    std::memset(y, 0, sizeof(float) * static_cast<size_t>(rows * outputs));
    int64_t k = 0;
    for (; k + kDeep <= inputs; k += kDeep) add_all<kDeep>(x + k, w + k * outputs, y, rows, inputs, outputs);
    for (; k < inputs; ++k) add_all<1>(x + k, w + k * outputs, y, rows, inputs, outputs);
}

}  // namespace jackdaw

#endif
