// What a machine can do at a precision. Knows no models.
#pragma once

namespace lockstep::ops {

// Whether this machine, under the ISA in force, multiplies bf16 itself (AVX512_BF16). Elsewhere
// Precision::kBf16 gives its rounding at less than fp32's speed: for tests.
bool has_bf16_arithmetic();

}  // namespace lockstep::ops
