// Activations and their derivatives of 16 numbers. relu, leaky relu, tanh and sigmoid find their
// derivative from the output, the others from the input. erf and tanh forms of gelu: Hendrycks &
// Gimpel 2016; silu: Elfwing et al. 2018. Included in *.inl files only.
#pragma once
#include "ops/cpu/simd_math.h"

namespace lockstep::ops {
namespace {

struct Identity {
  static LOCKSTEP_INLINE V value(V x, V) { return x; }
  static LOCKSTEP_INLINE V gradient(V dy, V, V) { return dy; }
};

struct Relu {
  static LOCKSTEP_INLINE V value(V x, V) { return relu(x); }
  static LOCKSTEP_INLINE V gradient(V dy, V y, V) {
    return select(y <= splat(0.0f), splat(0.0f), dy);
  }
};

struct LeakyRelu {  // slope >= 0, so that the output has the input's sign
  static LOCKSTEP_INLINE V value(V x, V slope) { return select(x <= splat(0.0f), x * slope, x); }
  static LOCKSTEP_INLINE V gradient(V dy, V y, V slope) {
    return select(y <= splat(0.0f), dy * slope, dy);
  }
};

struct Gelu {  // x Phi(x)
  static LOCKSTEP_INLINE V phi(V x) {
    return fma(erf(x * splat(0.707106781f)), splat(0.5f), splat(0.5f));
  }
  static LOCKSTEP_INLINE V value(V x, V) { return x * phi(x); }
  static LOCKSTEP_INLINE V gradient(V dy, V x, V) {
    const V density = splat(0.398942280f) * exp(splat(-0.5f) * x * x);
    return dy * fma(x, density, phi(x));
  }
};

// x sigmoid(z), z with the sign of x: where e^-z overflows, the quotient is x's zero.
LOCKSTEP_INLINE V gated(V x, V z) { return x / (splat(1.0f) + exp(-z)); }

// sigmoid(z) and its derivative. 1 - sigmoid is not formed: it would lose the digits of small
// derivatives, which a cubic multiplies.
struct Gate {
  V value, slope;
  explicit LOCKSTEP_INLINE Gate(V z) {
    const V e = exp(-abs(z)), r = splat(1.0f) / (splat(1.0f) + e);
    value = select(z < splat(0.0f), e * r, r);
    slope = e * r * r;
  }
};

struct GeluTanh {  // x (1 + tanh u) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
  static constexpr float kTwice = 1.59576912f,
                         kCubic = 0.0713548163f;  // 2 sqrt(2/pi) (1, 0.044715)
  static LOCKSTEP_INLINE V twice(V x) { return x * fma(x * x, splat(kCubic), splat(kTwice)); }
  static LOCKSTEP_INLINE V value(V x, V) { return gated(x, twice(x)); }
  static LOCKSTEP_INLINE V gradient(V dy, V x, V) {
    const Gate gate(twice(x));
    return dy * fma(gate.slope * x, fma(x * x, splat(3 * kCubic), splat(kTwice)), gate.value);
  }
};

struct Silu {
  static LOCKSTEP_INLINE V value(V x, V) { return gated(x, x); }
  static LOCKSTEP_INLINE V gradient(V dy, V x, V) {
    const Gate gate(x);
    return dy * fma(gate.slope, x, gate.value);
  }
};

struct Tanh {
  static LOCKSTEP_INLINE V value(V x, V) { return tanh(x); }
  static LOCKSTEP_INLINE V gradient(V dy, V y, V) { return dy * fma(-y, y, splat(1.0f)); }
};

struct Sigmoid {
  static LOCKSTEP_INLINE V value(V x, V) { return sigmoid(x); }
  static LOCKSTEP_INLINE V gradient(V dy, V y, V) { return dy * (y * (splat(1.0f) - y)); }
};

}  // namespace
}  // namespace lockstep::ops
