// Activations and their derivatives. relu, leaky relu, tanh and sigmoid find their derivative from
// the output, the others from the input. erf and tanh forms of gelu: Hendrycks & Gimpel 2016; silu:
// Elfwing et al. 2018. The formulas are those of the cpu device, and so are their errors.
#pragma once
#include "lockstep/ops/op.h"

namespace lockstep::kernels {

// x Phi(x), from the tail Q(t) = 1 - Phi(t) = e^(-t^2/2) R(t) at t = |x|: nothing cancels where Q
// is small. R is a minimax fit of our own on [0, 5]; beyond, Q < 3e-7 and only e^(-t^2/2) counts.
struct GeluTail {
  float t, density, ratio;  // |x| up to where Q is 0, e^(-t^2/2), R(t)
  __device__ explicit GeluTail(float x) {
    constexpr float kR[] = {
        0.5f,           -0.398941547f,   0.249987096f,    -0.132893428f,   0.0621929467f,
        -0.0259508006f, 0.00953481998f,  -0.00297040516f, 0.000741977536f, -0.000138968288f,
        1.796178e-05f,  -1.4095549e-06f, 5.01613364e-08f};
    t = fabsf(x) > 20.0f ? 20.0f : fabsf(x);  // NaN stays
    density = expf(-0.5f * t * t);
    const float near = t > 5.0f ? 5.0f : t;
    ratio = kR[12];
#pragma unroll
    for (int i = 11; i >= 0; --i) ratio = fmaf(ratio, near, kR[i]);
  }
};

// x sigmoid(z), z with the sign of x: where e^-z overflows, the quotient is x's zero.
__device__ inline float gated(float x, float z) { return x / (1.0f + expf(-z)); }

// sigmoid(z) and its derivative. 1 - sigmoid is not formed: it would lose the digits of small
// derivatives, which a cubic multiplies.
struct Gate {
  float value, slope;
  __device__ explicit Gate(float z) {
    const float e = expf(-fabsf(z)), r = 1.0f / (1.0f + e);
    value = z < 0.0f ? e * r : r;
    slope = e * r * r;
  }
};

constexpr float kTwice = 1.59576912f, kCubic = 0.0713548163f;  // 2 sqrt(2/pi) (1, 0.044715)
// 2 u of x (1 + tanh u) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
__device__ inline float gelu_twice(float x) { return x * fmaf(x * x, kCubic, kTwice); }

__device__ inline float relu(float x) { return x <= 0.0f ? 0.0f : x; }

// The activation is the same for a whole launch: its branch is free.
__device__ inline float activate(ops::Activation a, float x, float slope) {
  switch (a) {
    case ops::Activation::kRelu:
      return relu(x);
    case ops::Activation::kLeakyRelu:
      return x <= 0.0f ? x * slope : x;
    case ops::Activation::kGelu: {  // max(x, 0) - t Q
      const GeluTail g(x);
      return relu(x) - g.t * (g.density * g.ratio);
    }
    case ops::Activation::kGeluTanh:
      return gated(x, gelu_twice(x));
    case ops::Activation::kSilu:
      return gated(x, x);
    case ops::Activation::kTanh:
      return tanhf(x);
    case ops::Activation::kSigmoid: {
      return Gate(x).value;
    }
    default:
      return x;
  }
}

// from: output for kTanh and kSigmoid, either for kRelu and kLeakyRelu (slope >= 0), else the
// input.
__device__ inline float activation_gradient(ops::Activation a, float dy, float from, float slope) {
  switch (a) {
    case ops::Activation::kRelu:
      return from <= 0.0f ? 0.0f : dy;
    case ops::Activation::kLeakyRelu:
      return from <= 0.0f ? dy * slope : dy;
    case ops::Activation::kGelu: {  // Q - t phi(t) on the left, 1 less that on the right
      const GeluTail g(from);
      const float left = g.density * fmaf(g.t, -0.398942280f, g.ratio);
      return dy * (from < 0.0f ? left : 1.0f - left);
    }
    case ops::Activation::kGeluTanh: {
      const Gate gate(gelu_twice(from));
      return dy * fmaf(gate.slope * from, fmaf(from * from, 3 * kCubic, kTwice), gate.value);
    }
    case ops::Activation::kSilu: {
      const Gate gate(from);
      return dy * fmaf(gate.slope, from, gate.value);
    }
    case ops::Activation::kTanh:
      return dy * fmaf(-from, from, 1.0f);
    case ops::Activation::kSigmoid:
      return dy * (from * (1.0f - from));
    default:
      return dy;
  }
}

}  // namespace lockstep::kernels
