// Products of a few rows and a matrix of weights, custom calls of XLA's: y = x w with x float32 (..., inputs), w bfloat16
// or int8 (inputs, outputs), y float32 (..., outputs). int8 weights have a scale for each output, float32 (outputs).
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

JACKDAW_ANY_PROCESSOR
void multiply_scaled(const float* x, const int8_t* w, const float* scale, float* y, int64_t rows, int64_t inputs,
                     int64_t outputs) {
    jackdaw::multiply(x, w, y, rows, inputs, outputs);
    for (int64_t r = 0; r < rows; ++r, y += outputs)
        for (int64_t n = 0; n < outputs; ++n) y[n] *= scale[n];
}

using xla::ffi::AnyBuffer;
using xla::ffi::BF16;
using xla::ffi::Buffer;
using xla::ffi::Error;
using xla::ffi::F32;
using xla::ffi::S8;

bool fit(AnyBuffer::Dimensions x, AnyBuffer::Dimensions w) { return w.size() == 2 && x.size() > 0 && x.back() == w[0]; }

const char* const kWanted = "a product wants (..., inputs) and (inputs, outputs), and of int8 a scale for each output";

int64_t rows_of(size_t elements, int64_t outputs) { return outputs == 0 ? 0 : static_cast<int64_t>(elements) / outputs; }

Error product(Buffer<F32> x, Buffer<BF16> w, xla::ffi::ResultBuffer<F32> y) {
    const auto sizes = w.dimensions();
    if (!fit(x.dimensions(), sizes)) return Error::InvalidArgument(kWanted);
    multiply(x.typed_data(), static_cast<const uint16_t*>(w.untyped_data()), y->typed_data(),
             rows_of(y->element_count(), sizes[1]), sizes[0], sizes[1]);
    return Error::Success();
}

Error product_int8(Buffer<F32> x, Buffer<S8> w, Buffer<F32> scale, xla::ffi::ResultBuffer<F32> y) {
    const auto sizes = w.dimensions();
    if (!fit(x.dimensions(), sizes) || scale.element_count() != static_cast<size_t>(sizes[1]))
        return Error::InvalidArgument(kWanted);
    multiply_scaled(x.typed_data(), w.typed_data(), scale.typed_data(), y->typed_data(),
                    rows_of(y->element_count(), sizes[1]), sizes[0], sizes[1]);
    return Error::Success();
}

}  // namespace

#pragma GCC visibility push(default)
XLA_FFI_DEFINE_HANDLER_SYMBOL(jd_product, product,
                              xla::ffi::Ffi::Bind().Arg<Buffer<F32>>().Arg<Buffer<BF16>>().Ret<Buffer<F32>>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(
    jd_product_int8, product_int8,
    xla::ffi::Ffi::Bind().Arg<Buffer<F32>>().Arg<Buffer<S8>>().Arg<Buffer<F32>>().Ret<Buffer<F32>>());
#pragma GCC visibility pop
