// Products of a few rows and a matrix of bfloat16 weights, a custom call of XLA's: y = x w with x float32 (..., inputs),
// w bfloat16 (inputs, outputs), y float32 (..., outputs).
//
// A network that plays reads every weight once a frame, so what a frame takes is what reading takes. XLA multiplies
// bfloat16 only where the processor has instructions for it, and then rounds x as well. Here x and all sums are float32.

#include <xla/ffi/api/ffi.h>

#include "multiply.h"

namespace {

JACKDAW_ANY_PROCESSOR
void multiply(const float* x, const uint16_t* w, float* y, int64_t rows, int64_t inputs, int64_t outputs) {
    jackdaw::multiply(x, w, y, rows, inputs, outputs);
}

using xla::ffi::BF16;
using xla::ffi::Buffer;
using xla::ffi::Error;
using xla::ffi::F32;

Error product(Buffer<F32> x, Buffer<BF16> w, xla::ffi::ResultBuffer<F32> y) {
    const auto sizes = w.dimensions();
    if (sizes.size() != 2 || x.dimensions().size() == 0 || x.dimensions().back() != sizes[0])
        return Error::InvalidArgument("a product wants (..., inputs) and (inputs, outputs)");
    const int64_t rows = sizes[1] == 0 ? 0 : static_cast<int64_t>(y->element_count()) / sizes[1];
    multiply(x.typed_data(), static_cast<const uint16_t*>(w.untyped_data()), y->typed_data(), rows, sizes[0], sizes[1]);
    return Error::Success();
}

}  // namespace

#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(jd_product, product,
                              xla::ffi::Ffi::Bind().Arg<Buffer<F32>>().Arg<Buffer<BF16>>().Ret<Buffer<F32>>());
#pragma GCC visibility pop
