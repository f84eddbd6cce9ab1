// Pooling kernels against loops over all inputs of a window, in double.
#include "kernels/pool.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/device_array.h"

namespace lockstep::kernels {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
constexpr float kInf = std::numeric_limits<float>::infinity();

PoolShape shape_of(int samples, int channels, std::vector<int> in, std::vector<int> kernel,
                   std::vector<int> stride, std::vector<int> padding) {
  PoolShape s;
  s.samples = samples, s.channels = channels;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::size_t d = 3 - in.size() + i;
    s.in[d] = in[i], s.kernel[d] = kernel[i], s.stride[d] = stride[i], s.padding[d] = padding[i];
    s.out[d] = (in[i] + 2 * padding[i] - kernel[i]) / stride[i] + 1;
  }
  return s;
}

std::vector<PoolShape> shapes() {
  const std::vector<PoolShape> all = {
      shape_of(1, 1, {1}, {1}, {1}, {0}),
      shape_of(2, 7, {33}, {3}, {2}, {1}),
      shape_of(3, 32, {31}, {2}, {2}, {0}),
      shape_of(2, 6, {12, 12}, {2, 2}, {2, 2}, {0, 0}),
      shape_of(2, 33, {13, 11}, {3, 3}, {2, 2}, {1, 1}),
      shape_of(2, 31, {7, 9}, {3, 2}, {1, 3}, {2, 0}),
      shape_of(1, 1024, {4, 5}, {3, 3}, {1, 1}, {1, 1}),
      shape_of(1, 1032, {2, 2}, {2, 2}, {2, 2}, {0, 0}),
      shape_of(3, 64, {8, 8}, {8, 8}, {1, 1}, {0, 0}),     // global
      shape_of(2, 40, {7, 7}, {7, 7}, {1, 1}, {0, 0}),     // global
      shape_of(1, 5, {17, 17}, {17, 17}, {1, 1}, {0, 0}),  // winners of 32 bits
      shape_of(1, 8, {20, 19}, {17, 16}, {2, 3}, {3, 5}),
      shape_of(2, 17, {5, 7, 6}, {2, 3, 2}, {2, 2, 1}, {1, 0, 1}),
      shape_of(1, 1, {4, 4, 4}, {4, 4, 4}, {4, 4, 4}, {0, 0, 0}),
  };
  return shapes_to_try(all, {all[1], all[9], all[10]});
}
std::string text(const PoolShape& s) {
  std::string t = std::to_string(s.samples) + "x" + std::to_string(s.channels);
  for (int d = 0; d < 3; ++d)
    t += " " + std::to_string(s.in[d]) + "/" + std::to_string(s.kernel[d]);
  return t;
}
std::int64_t inputs(const PoolShape& s) {
  return std::int64_t{s.samples} * s.in[0] * s.in[1] * s.in[2] * s.channels;
}
std::int64_t outputs(const PoolShape& s) {
  return std::int64_t{s.samples} * s.out[0] * s.out[1] * s.out[2] * s.channels;
}

// Calls f(output, input, place in the window) in the order of windows and of their places.
template <class F>
void each_place(const PoolShape& s, F f) {
  const int windows = s.out[0] * s.out[1] * s.out[2];
  for (int n = 0; n < s.samples; ++n)
    for (int o = 0; o < windows; ++o)
      for (int place = 0; place < s.window(); ++place) {
        const int at[3] = {o / (s.out[1] * s.out[2]), o / s.out[2] % s.out[1], o % s.out[2]};
        const int in_window[3] = {place / (s.kernel[1] * s.kernel[2]),
                                  place / s.kernel[2] % s.kernel[1], place % s.kernel[2]};
        std::int64_t input = n;
        bool inside = true;
        for (int d = 0; d < 3; ++d) {
          const int i = at[d] * s.stride[d] - s.padding[d] + in_window[d];
          inside = inside && i >= 0 && i < s.in[d];
          input = input * s.in[d] + i;
        }
        if (!inside) continue;
        for (int c = 0; c < s.channels; ++c)
          f((std::int64_t{n} * windows + o) * s.channels + c, input * s.channels + c, place);
      }
}

// Numbers of few values, so that maxima tie.
template <class T = float>
std::vector<T> numbers(std::int64_t n, unsigned seed) {
  std::mt19937 bits(seed);
  std::vector<T> x(n);
  for (T& value : x) value = static_cast<T>(static_cast<float>(bits() % 33) / 4 - 4);
  return x;
}
float widened(float x) { return x; }
float widened(__nv_bfloat16 x) { return __bfloat162float(x); }

// The winners as numbers, whatever they are kept in.
struct Winners {
  explicit Winners(const PoolShape& s)
      : bytes(s.winner_bytes() == 1 ? outputs(s) : 0),
        words(s.winner_bytes() == 4 ? outputs(s) : 0) {}
  void* data() const { return bytes.size() > 0 ? static_cast<void*>(bytes.data()) : words.data(); }
  std::vector<int> host() const {
    std::vector<int> all;
    for (const auto w : bytes.host()) all.push_back(w);
    for (const auto w : words.host()) all.push_back(static_cast<int>(w));
    return all;
  }
  DeviceArray<std::uint8_t> bytes;
  DeviceArray<std::uint32_t> words;
};

template <class T>
void expect_max(const PoolShape& s, bool reference = false) {
  const std::vector<T> x = numbers<T>(inputs(s), 1), dy = numbers<T>(outputs(s), 2);
  Floats best(outputs(s), -kInf);
  std::vector<int> winners(outputs(s), -1);
  each_place(s, [&](std::int64_t o, std::int64_t i, int place) {
    if (winners[o] < 0 || widened(x[i]) > best[o]) best[o] = widened(x[i]), winners[o] = place;
  });
  Doubles dx(inputs(s));
  each_place(s, [&](std::int64_t o, std::int64_t i, int place) {
    if (winners[o] != place) return;
    dx[i] += widened(dy[o]) * (s.leaky && best[o] <= 0 ? s.slope : 1);
  });
  const DeviceArray<T> device_x(x), device_dy(dy), y(outputs(s)), gradient(inputs(s)),
      again(outputs(s));
  const Winners kept(s);
  if constexpr (std::is_same_v<T, float>) {
    if (reference) max_pool_reference(s, device_x.data(), y.data(), kept.data(), nullptr);
  }
  if (!reference) max_pool(s, device_x.data(), y.data(), kept.data(), nullptr);
  const auto got = y.host();
  for (std::int64_t o = 0; o < outputs(s); ++o) {
    const float want = s.leaky && best[o] <= 0 ? best[o] * s.slope : best[o];
    ASSERT_EQ(widened(got[o]), widened(static_cast<T>(want))) << o;
  }
  EXPECT_EQ(kept.host(), winners);
  if (reference) return;
  max_pool(s, device_x.data(), again.data(), nullptr, nullptr);
  const auto without = again.host();
  for (std::int64_t o = 0; o < outputs(s); ++o) ASSERT_EQ(widened(without[o]), widened(got[o]));
  max_pool_backward<T>(s, device_dy.data(), y.data(), kept.data(), gradient.data(), nullptr);
  const auto sums = gradient.host();
  const double unit = sizeof(T) == 4 ? 1e-6 : 0x1p-8;
  for (std::int64_t i = 0; i < inputs(s); ++i)
    ASSERT_NEAR(widened(sums[i]), dx[i], unit * (1 + std::abs(dx[i]))) << i;
}

TEST(MaxPool, takes_the_first_maximum_and_returns_its_gradient) {
  for (PoolShape s : shapes()) {
    SCOPED_TRACE(text(s));
    expect_max<float>(s);
    expect_max<float>(s, true);
    expect_max<__nv_bfloat16>(s);
    s.leaky = true, s.slope = 0.25f;
    expect_max<float>(s);
    expect_max<float>(s, true);
  }
}

TEST(MaxPool, lets_the_first_nan_win_and_takes_minus_infinity) {
  for (const int n : {6, 80}) {
    const PoolShape s = shape_of(1, 4, {2 * n}, {n}, {n}, {0});
    Floats x(inputs(s), -kInf);
    x[4 * (n - 3)] = NAN, x[4 * (n - 1)] = NAN, x[4] = kInf, x[8] = 3;  // channel 0, first window
    const DeviceArray<float> device_x(x), y(outputs(s));
    const Winners winners(s);
    max_pool(s, device_x.data(), y.data(), winners.data(), nullptr);
    EXPECT_TRUE(std::isnan(y.host()[0]));
    EXPECT_EQ(winners.host()[0], n - 3);
    EXPECT_EQ(y.host()[4], -kInf);
    EXPECT_EQ(winners.host()[4], 0);
  }
}

template <class T>
void expect_average(const PoolShape& s, bool reference = false) {
  const std::vector<T> x = numbers<T>(inputs(s), 1), dy = numbers<T>(outputs(s), 2);
  Doubles sum(outputs(s)), count(outputs(s)), dx(inputs(s));
  each_place(s, [&](std::int64_t o, std::int64_t i, int) { sum[o] += widened(x[i]), ++count[o]; });
  each_place(s, [&](std::int64_t o, std::int64_t i, int) { dx[i] += widened(dy[o]) / count[o]; });
  const DeviceArray<T> device_x(x), device_dy(dy), y(outputs(s)), gradient(inputs(s));
  if constexpr (std::is_same_v<T, float>) {
    if (reference) average_pool_reference(s, device_x.data(), y.data(), nullptr);
  }
  if (!reference) average_pool(s, device_x.data(), y.data(), nullptr);
  const double unit = sizeof(T) == 4 ? 1e-6 : 0x1p-8;
  const auto got = y.host();
  for (std::int64_t o = 0; o < outputs(s); ++o)
    ASSERT_NEAR(widened(got[o]), sum[o] / count[o], 4 * unit) << o;
  if (reference) return;
  average_pool_backward(s, device_dy.data(), gradient.data(), nullptr);
  const auto sums = gradient.host();
  for (std::int64_t i = 0; i < inputs(s); ++i)
    ASSERT_NEAR(widened(sums[i]), dx[i], unit * (1 + std::abs(dx[i]))) << i;
}

TEST(AveragePool, leaves_padding_out_of_the_mean) {
  for (const PoolShape& s : shapes()) {
    SCOPED_TRACE(text(s));
    expect_average<float>(s);
    expect_average<float>(s, true);
    expect_average<__nv_bfloat16>(s);
  }
}

}  // namespace
}  // namespace lockstep::kernels
