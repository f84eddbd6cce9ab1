// y = silu(gate) * up over rows of [gate, up]: 12 bytes an element of y forward, 20 backward.
// Included after activation_loops.inl.

namespace lockstep::ops {
namespace {

void swiglu_forward(float* y, const float* x, std::int64_t rows, std::int64_t width) {
  for (std::int64_t row = 0; row < rows; ++row, x += 2 * width, y += width) {
    for_vectors(width, [=](std::int64_t i, auto lanes) {
      const V gate = load(x + i, lanes), up = load(x + width + i, lanes);
      store(y + i, Silu::value(gate, gate) * up, lanes);
    });
  }
}

void swiglu_backward(float* dx, const float* dy, const float* x, std::int64_t rows,
                     std::int64_t width) {
  for (std::int64_t row = 0; row < rows; ++row, x += 2 * width, dx += 2 * width, dy += width) {
    for_vectors(width, [=](std::int64_t i, auto lanes) {
      const V d = load(dy + i, lanes);
      const V gate = load(x + i, lanes), up = load(x + width + i, lanes);
      const Gate sigmoid(gate);
      store(dx + i, d * up * fma(sigmoid.slope, gate, sigmoid.value), lanes);
      store(dx + width + i, d * (gate * sigmoid.value), lanes);
    });
  }
}

}  // namespace
}  // namespace lockstep::ops
