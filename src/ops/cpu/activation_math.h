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

// x Phi(x), from the tail Q(t) = 1 - Phi(t) = e^(-t^2/2) R(t) at t = |x|: nothing cancels where Q
// is small. R is a minimax fit of our own on [0, 5]; beyond, Q < 3e-7 and only e^(-t^2/2) counts.
struct Gelu {
  V t, density, ratio;  // |x| up to where Q is 0, e^(-t^2/2), R(t)
  explicit LOCKSTEP_INLINE Gelu(V x) {
    constexpr float kR[] = {0.5f,           -0.398941547f,    0.249987096f,   -0.132893428f,
                            0.0621929467f,  -0.0259508006f,   0.00953481998f, -0.00297040516f,
                            0.000741977536f, -0.000138968288f, 1.796178e-05f,  -1.4095549e-06f,
                            5.01613364e-08f};
    t = min(splat(20.0f), abs(x));
    density = exp(splat(-0.5f) * t * t);
    ratio = polynomial(min(splat(5.0f), t), kR);
  }
  static LOCKSTEP_INLINE V value(V x, V) {  // max(x, 0) - t Q
    const Gelu g(x);
    return relu(x) - g.t * (g.density * g.ratio);
  }
  // Q - t phi(t) on the left, 1 less that on the right.
  static LOCKSTEP_INLINE V gradient(V dy, V x, V) {
    const Gelu g(x);
    const V left = g.density * fma(g.t, splat(-0.398942280f), g.ratio);
    return dy * select(x < splat(0.0f), left, splat(1.0f) - left);
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
