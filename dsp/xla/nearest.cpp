// Beam search over the levels of residual vector quantisation, a custom call of XLA's: codes int32 (rows, levels) of
// latents float32 (rows, size), with codebooks of bfloat16 (levels, size, codes) and the squares of their vectors, float32
// (levels, codes).
//
// Each level keeps the kPaths sums so far that are nearest to the latent. Invariant: of sums that are equally near the
// one found first is taken, by path and then by code.

#include <xla/ffi/api/ffi.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "multiply.h"

namespace {

constexpr int64_t kPaths = 4;

struct Sizes {
    int64_t levels, size, codes;
};

struct Path {
    float distance;  // squared, of what is left, less the latent's own square
    int64_t parent;
    int64_t code;
};

struct Space {
    explicit Space(const Sizes& of)
        : rest(static_cast<size_t>(kPaths * of.size)),
          following(rest.size()),
          products(static_cast<size_t>(kPaths * of.codes)),
          chosen(static_cast<size_t>(kPaths * of.levels)),
          longer(chosen.size()) {}

    std::vector<float> rest, following;  // of each path, what is left of the latent
    std::vector<float> products;
    std::vector<int32_t> chosen, longer;  // each path's codes
};

// Keep `found` if it is among the nearest; they stand in order.
void keep(Path (&best)[kPaths], const Path& found) {
    if (found.distance >= best[kPaths - 1].distance) return;
    int64_t at = kPaths - 1;
    for (; at > 0 && found.distance < best[at - 1].distance; --at) best[at] = best[at - 1];
    best[at] = found;
}

JACKDAW_ANY_PROCESSOR
void search(const float* latent, const uint16_t* book, const float* squares, int32_t* out, const Sizes& of, Space& space) {
    Path best[kPaths] = {};
    int64_t paths = 1;
    std::copy_n(latent, of.size, space.rest.begin());
    for (int64_t level = 0; level < of.levels; ++level, book += of.size * of.codes, squares += of.codes) {
        jackdaw::multiply(space.rest.data(), book, space.products.data(), paths, of.size, of.codes);
        Path next[kPaths];
        std::fill_n(next, kPaths, Path{std::numeric_limits<float>::infinity(), 0, 0});
        for (int64_t path = 0; path < paths; ++path) {
            const float* product = space.products.data() + path * of.codes;
            for (int64_t code = 0; code < of.codes; ++code)
                keep(next, {best[path].distance + squares[code] - 2 * product[code], path, code});
        }
        for (int64_t path = 0; path < kPaths; ++path) {
            const float* from = space.rest.data() + next[path].parent * of.size;
            float* left = space.following.data() + path * of.size;
            for (int64_t i = 0; i < of.size; ++i)
                left[i] = from[i] - jackdaw::widened(book[i * of.codes + next[path].code]);
            int32_t* told = space.longer.data() + path * of.levels;
            std::copy_n(space.chosen.data() + next[path].parent * of.levels, level, told);
            told[level] = static_cast<int32_t>(next[path].code);
        }
        space.rest.swap(space.following);
        space.chosen.swap(space.longer);
        std::copy_n(next, kPaths, best);
        paths = kPaths;
    }
    std::copy_n(space.chosen.data(), of.levels, out);
}

using xla::ffi::BF16;
using xla::ffi::Buffer;
using xla::ffi::Error;
using xla::ffi::F32;
using xla::ffi::S32;

Error nearest(Buffer<F32> latents, Buffer<BF16> books, Buffer<F32> squares, xla::ffi::ResultBuffer<S32> found) {
    const auto shape = latents.dimensions(), sizes = books.dimensions();
    if (sizes.size() != 3 || shape.size() != 2 || shape[1] != sizes[1] || sizes[2] < kPaths)
        return Error::InvalidArgument("nearest wants (rows, size) and (levels, size, codes), of four codes or more");
    const Sizes of{sizes[0], sizes[1], sizes[2]};
    Space space(of);
    for (int64_t row = 0; row < shape[0]; ++row)
        search(latents.typed_data() + row * of.size, static_cast<const uint16_t*>(books.untyped_data()),
               squares.typed_data(), found->typed_data() + row * of.levels, of, space);
    return Error::Success();
}

}  // namespace

#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jd_nearest, nearest,
    xla::ffi::Ffi::Bind().Arg<Buffer<F32>>().Arg<Buffer<BF16>>().Arg<Buffer<F32>>().Ret<Buffer<S32>>());
#pragma GCC visibility pop
