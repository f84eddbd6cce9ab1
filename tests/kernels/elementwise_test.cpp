#include "kernels/elementwise.h"

#include "kernels/dropout.h"
#include "kernels/oracle.h"
#include "kernels/swiglu.h"
#include "lockstep/ops/vector.h"

namespace lockstep::kernels {
namespace {

const auto kSizes =
    shapes_to_try<std::int64_t>({1, 3, 4, 7, 31, 32, 33, 1000, 1023, 1024, 1025, 4099}, {33, 1025});
constexpr RandomKey kKey = {.seed = 5, .step = 11, .lane_micro = 2, .op = 3};

TEST(Elementwise, adds_scales_and_fills) {
  for (std::int64_t n : kSizes) {
    const Floats a = uniform(n, 1), b = uniform(n, 2);
    const DeviceArray<float> x(a), z(b), y(n), w(n);
    Floats sum, rectified, scaled, axpied;
    for (std::int64_t i = 0; i < n; ++i) {
      sum.push_back(a[i] + b[i]);
      rectified.push_back(std::fmax(a[i] + b[i], 0.0f));
      scaled.push_back(a[i] * 3);
      axpied.push_back(std::fma(0.7f, b[i], a[i] * 3));
    }
    add(y.data(), x.data(), z.data(), n, nullptr);
    add_reference(w.data(), x.data(), z.data(), n, nullptr);
    EXPECT_EQ(y.host(), sum);
    EXPECT_EQ(w.host(), sum);
    add_relu(y.data(), x.data(), z.data(), n, nullptr);
    EXPECT_EQ(y.host(), rectified);
    scale(x.data(), 3, n, nullptr);
    EXPECT_EQ(x.host(), scaled);
    axpy(x.data(), z.data(), 0.7f, n, nullptr);
    EXPECT_EQ(x.host(), axpied);
    fill(x.data(), 2.5f, n, nullptr);
    EXPECT_EQ(x.host(), Floats(n, 2.5f));
  }
}

template <class T>
void expect_activations(std::int64_t n) {
  const std::vector<T> x = of_type<T>(uniform(n, 1, -6, 6)), dy = of_type<T>(uniform(n, 2));
  const Floats in = to_floats(x), d = to_floats(dy);
  const DeviceArray<T> on_x(x), on_dy(dy), y(n), dx(n);
  for (ops::Activation act : kActivations) {
    const bool output = act == ops::Activation::kRelu || act == ops::Activation::kLeakyRelu ||
                        act == ops::Activation::kTanh || act == ops::Activation::kSigmoid;
    Doubles expected, gradient;
    for (std::int64_t i = 0; i < n; ++i) {
      expected.push_back(activation(act, in[i], 0.2f));
      gradient.push_back(d[i] * activation_slope(act, in[i], 0.2f));
    }
    const std::string what(name_of(act));
    activate(y.data(), on_x.data(), n, act, 0.2f, nullptr);
    expect_near(y.host(), expected, what);
    activate_gradient(dx.data(), on_dy.data(), output ? y.data() : on_x.data(), n, act, 0.2f,
                      nullptr);
    expect_near(dx.host(), gradient, what + " gradient", output && sizeof(T) == 2 ? 0x1p-7 : 1e-6);
    if constexpr (sizeof(T) == sizeof(float)) {  // bit for bit
      const DeviceArray<float> naive(n);
      activate_reference(naive.data(), on_x.data(), n, act, 0.2f, nullptr);
      EXPECT_EQ(naive.host(), y.host());
      activate_gradient_reference(naive.data(), on_dy.data(), output ? y.data() : on_x.data(), n,
                                  act, 0.2f, nullptr);
      EXPECT_EQ(naive.host(), dx.host());
    }
  }
}

TEST(Elementwise, activates_and_derives) {
  for (std::int64_t n : kSizes) {
    expect_activations<float>(n);
    expect_activations<__nv_bfloat16>(n);
  }
}

TEST(Elementwise, keeps_the_digits_of_tails) {
  const Floats x = {-8, -5, -3, -1.5f, -0.1f, 0.1f, 3, 8};
  const DeviceArray<float> on_x(x), y(8);
  for (ops::Activation act :
       {ops::Activation::kSilu, ops::Activation::kTanh, ops::Activation::kSigmoid}) {
    activate(y.data(), on_x.data(), 8, act, 0, nullptr);
    const Floats got = y.host();
    for (int i = 0; i < 8; ++i) {
      const double expected = activation(act, x[i], 0);
      EXPECT_LE(std::fabs(got[i] / expected - 1), 2e-6) << name_of(act) << " of " << x[i];
    }
  }
}

TEST(Elementwise, converts_to_nearest_even_and_back) {
  for (std::int64_t n : kSizes) {
    Floats x = uniform(n, 3, -100, 100);
    x[0] = 1 + 0x1p-8f;  // a tie
    if (n > 4) x[1] = NAN, x[2] = INFINITY, x[3] = 1 + 3 * 0x1p-8f;
    const DeviceArray<float> on_x(x), back(n);
    const DeviceArray<__nv_bfloat16> y(n);
    convert(y.data(), on_x.data(), n, nullptr);
    const Floats expected = to_floats(to_words(x)), got = to_floats(y.host());
    convert(back.data(), y.data(), n, nullptr);
    const Floats again = back.host();
    for (std::int64_t i = 0; i < n; ++i) {
      if (std::isnan(x[i])) {
        EXPECT_TRUE(std::isnan(got[i]) && std::isnan(again[i]));
      } else {
        EXPECT_EQ(got[i], expected[i]);
        EXPECT_EQ(again[i], expected[i]);
      }
    }
  }
}

// Words of every kind, and those around the two halves' border.
TEST(Elementwise, rounds_to_bf16_as_the_cpu_does) {
  const std::vector<std::uint32_t> uppers = {0x0000, 0x0001, 0x3f80, 0x3f81, 0x7f7f,
                                             0x7f80, 0x7f81, 0x7fc0, 0x7fff, 0x8000,
                                             0xbf80, 0xff7f, 0xff80, 0xffff};
  Floats x;
  for (const std::uint32_t upper : uppers) {
    for (const std::uint32_t lower : {0x0000, 0x0001, 0x7fff, 0x8000, 0x8001, 0xffff})
      x.push_back(std::bit_cast<float>(upper << 16 | lower));
  }
  for (const float v : uniform(937, 8)) x.push_back(v);
  const auto n = static_cast<std::int64_t>(x.size());
  Floats expected(x.size());
  ops::round_to_bf16(expected.data(), x.data(), n);
  const DeviceArray<float> on_x(x), y(n), naive(n);
  round_to_bf16(y.data(), on_x.data(), n, nullptr);
  round_to_bf16_reference(naive.data(), on_x.data(), n, nullptr);
  round_to_bf16(on_x.data(), on_x.data(), n, nullptr);  // in place
  const Floats got = y.host(), in_place = on_x.host(), plain = naive.host();
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto bits = [](float v) { return std::bit_cast<std::uint32_t>(v); };
    EXPECT_EQ(bits(got[i]), bits(expected[i])) << bits(x[i]);
    EXPECT_EQ(bits(in_place[i]), bits(expected[i])) << bits(x[i]);
    if (!std::isnan(x[i])) {
      EXPECT_EQ(bits(plain[i]), bits(expected[i])) << bits(x[i]);
    }
  }
}

TEST(Elementwise, rounds_stochastically_by_the_elements_own_number) {
  constexpr std::int64_t kFirst = 4096, n = 1023;
  Floats x = uniform(n, 4);
  x[5] = INFINITY, x[6] = 0, x[7] = -INFINITY, x[8] = NAN;
  const DeviceArray<float> on_x(x);
  const DeviceArray<__nv_bfloat16> y(n);
  const DeviceArray<RandomKey> key(std::vector<RandomKey>{kKey});
  convert_stochastic(y.data(), on_x.data(), n, key.data(), 42, kFirst, nullptr);
  const RandomKey stream{kKey.seed, kKey.step, kRoundingStream, 42};
  const Floats got = to_floats(y.host());
  double drift = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(x[i])) {
      EXPECT_TRUE(std::isnan(x[i]) ? std::isnan(got[i]) : got[i] == x[i]);
      continue;
    }
    const auto bits = std::bit_cast<std::uint32_t>(x[i]);
    const std::uint32_t up = (bits + (stream.word(kFirst + i) & 0xFFFF)) & 0xFFFF0000;
    EXPECT_EQ(got[i], std::bit_cast<float>(up)) << i;
    drift += got[i] - x[i];
  }
  EXPECT_LT(std::fabs(drift / n), 3e-4);  // a rounding is 2e-3 on average
}

template <class T>
void expect_dropout(std::int64_t n, float rate) {
  const std::vector<T> x = of_type<T>(uniform(n, 6));
  const Floats in = to_floats(x);
  const DeviceArray<T> on_x(x), y(n);
  const DeviceArray<RandomKey> key(
      std::vector<RandomKey>{{kKey.seed, kKey.step, kKey.lane_micro, 0}});
  dropout(y.data(), on_x.data(), n, {key.data(), kKey.op, rate}, nullptr);
  Doubles expected;
  for (std::int64_t i = 0; i < n; ++i)
    expected.push_back(rate > 0 ? in[i] * drop_factor(kKey, rate, i) : in[i]);
  expect_near(y.host(), expected, "dropout", 3e-7);
  if constexpr (std::is_same_v<T, float>) {
    const DeviceArray<float> z(x);  // in place
    dropout_reference(z.data(), z.data(), n, {key.data(), kKey.op, rate}, nullptr);
    EXPECT_EQ(z.host(), y.host());
  }
}

TEST(Dropout, keeps_what_the_key_says) {
  for (std::int64_t n : kSizes) {
    for (float rate : {0.0f, 0.1f, 0.9f}) {
      expect_dropout<float>(n, rate);
      expect_dropout<__nv_bfloat16>(n, rate);
    }
  }
}

template <class T>
void expect_swiglu(std::int64_t rows, std::int64_t width) {
  const std::vector<T> x = of_type<T>(uniform(rows * 2 * width, 7, -4, 4));
  const std::vector<T> dy = of_type<T>(uniform(rows * width, 8));
  const Floats in = to_floats(x), d = to_floats(dy);
  Doubles expected, gradient(in.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < width; ++c) {
      const double gate = in[2 * r * width + c], up = in[(2 * r + 1) * width + c];
      const double silu = activation(ops::Activation::kSilu, gate, 0);
      expected.push_back(silu * up);
      gradient[2 * r * width + c] =
          d[r * width + c] * up * activation_slope(ops::Activation::kSilu, gate, 0);
      gradient[(2 * r + 1) * width + c] = d[r * width + c] * silu;
    }
  }
  const DeviceArray<T> on_x(x), on_dy(dy), y(rows * width);
  const std::string what = "swiglu " + std::to_string(rows) + " x " + std::to_string(width);
  swiglu(y.data(), on_x.data(), rows, width, nullptr);
  expect_near(y.host(), expected, what);
  if constexpr (sizeof(T) == sizeof(float)) {
    const DeviceArray<float> naive(rows * width), naive_dx(x.size());
    swiglu_reference(naive.data(), on_x.data(), rows, width, nullptr);
    expect_near(naive.host(), expected, what + " reference");
    swiglu_gradient_reference(naive_dx.data(), on_dy.data(), on_x.data(), rows, width, nullptr);
    expect_near(naive_dx.host(), gradient, what + " gradient reference");
  }
  swiglu_gradient(on_x.data(), on_dy.data(), on_x.data(), rows, width, nullptr);  // in place
  expect_near(on_x.host(), gradient, what + " gradient");
}

TEST(SwiGlu, is_the_loop_in_double) {
  for (auto [rows, width] : {std::pair{1, 1}, {7, 31}, {33, 32}, {100, 12}, {1023, 3}, {2, 1000}}) {
    expect_swiglu<float>(rows, width);
    expect_swiglu<__nv_bfloat16>(rows, width);
  }
}

}  // namespace
}  // namespace lockstep::kernels
