#include "kernels/row_norm.h"

#include "kernels/oracle.h"

namespace lockstep::kernels {
namespace {

struct Size {
  std::int64_t rows, channels;
};
// Around packs, warps, the register forms (128 .. 1024 by warps, to 8192 by blocks) and beyond.
const std::vector<Size> kSizes = shapes_to_try<Size>(
    {{1, 1},    {7, 7},    {3, 31},   {33, 32},  {5, 33},   {2, 128},  {3, 132},
     {9, 256},  {2, 512},  {5, 768},  {2, 1000}, {2, 1023}, {3, 1024}, {2, 1028},
     {2, 2056}, {1, 4100}, {1, 8192}, {1, 8209}, {70, 12},  {257, 8}},
    {{70, 12}, {3, 37}, {2, 1028}});

struct Expected {
  Doubles y, dx, d_gain, d_bias;
};

struct Problem {
  std::int64_t rows, channels;
  Floats x, residual, dy, gain, bias, add;
  explicit Problem(Size s, double mean = 0.5)
      : rows(s.rows),
        channels(s.channels),
        x(uniform(rows * channels, 1, mean - 1, mean + 1)),
        residual(uniform(rows * channels, 2)),
        dy(uniform(rows * channels, 3)),
        gain(uniform(channels, 4, 0.5, 1.5)),
        bias(uniform(channels, 5)),
        add(uniform(rows * channels, 6)) {}

  // Of the given x, dy and add, which an element type may have rounded.
  Expected expected(bool layer, double epsilon, const Floats& x, const Floats& dy,
                    const Floats* add) const {
    Expected e;
    e.d_gain.resize(channels), e.d_bias.resize(channels);
    const auto n = static_cast<double>(channels);
    for (std::int64_t begin = 0; begin < rows * channels; begin += channels) {
      double mean = 0, variance = 0, mean_g = 0, mean_gx = 0;
      for (std::int64_t c = 0; layer && c < channels; ++c) mean += x[begin + c] / n;
      for (std::int64_t c = 0; c < channels; ++c)
        variance += (x[begin + c] - mean) * (x[begin + c] - mean) / n;
      const double rstd = 1 / std::sqrt(variance + epsilon);
      const auto hat = [&](std::int64_t c) { return (x[begin + c] - mean) * rstd; };
      for (std::int64_t c = 0; c < channels; ++c) {
        const double d = dy[begin + c], g = d * gain[c];
        e.y.push_back(hat(c) * gain[c] + (layer ? bias[c] : 0));
        e.d_gain[c] += d * hat(c), e.d_bias[c] += d;
        if (layer) mean_g += g / n;
        mean_gx += g * hat(c) / n;
      }
      for (std::int64_t c = 0; c < channels; ++c) {
        const double dx = rstd * (double{dy[begin + c]} * gain[c] - mean_g - hat(c) * mean_gx);
        e.dx.push_back(add != nullptr ? (*add)[begin + c] + dx : dx);
      }
    }
    return e;
  }
};

template <class T>
void run(bool layer, const RowNorm<T>& a) {
  layer ? layer_norm(a, nullptr) : rms_norm(a, nullptr);
}
template <class T>
void run(bool layer, const RowNormGradient<T>& a) {
  layer ? layer_norm_gradient(a, nullptr) : rms_norm_gradient(a, nullptr);
}

// wanted: dx is. dy_place: dx is written over dy. adds: over `add`, to which it is added.
template <class T>
void expect_norm(Size size, bool layer, bool residual, bool wanted, bool adds) {
  const Problem p(size);
  const std::string what = std::string(layer ? "layer" : "rms") + " norm " +
                           std::to_string(p.rows) + " x " + std::to_string(p.channels);
  constexpr float kEpsilon = 1e-3f;
  const std::int64_t n = p.rows * p.channels;
  const auto x = of_type<T>(p.x), r = of_type<T>(p.residual), dy = of_type<T>(p.dy),
             add = of_type<T>(p.add);
  const DeviceArray<T> on_x(x), on_r(r), on_dy(dy), on_add(add), sum(n), y(n);
  const DeviceArray<float> gain(p.gain), bias(p.bias), saved(p.rows * (layer ? 3 : 1));
  const DeviceArray<float> d_gain(p.channels), d_bias(p.channels);
  const DeviceArray<std::byte> workspace(row_norm_workspace_bytes(p.rows, p.channels));

  RowNorm<T> a{.rows = p.rows, .channels = p.channels, .epsilon = kEpsilon, .x = on_x.data()};
  if (residual) a.residual = on_r.data(), a.sum = sum.data();
  a.gain = gain.data(), a.bias = layer ? bias.data() : nullptr;
  a.y = y.data(), a.saved = saved.data();
  run(layer, a);
  Floats normalised = to_floats(x);
  if (residual) {
    for (std::int64_t i = 0; i < n; ++i) normalised[i] += to_floats(r)[i];
    normalised = to_floats(of_type<T>(normalised));
    EXPECT_EQ(to_floats(sum.host()), normalised) << what;
  }
  const Floats d = to_floats(dy), other = to_floats(add);
  const Expected e = p.expected(layer, kEpsilon, normalised, d, adds ? &other : nullptr);
  expect_near(y.host(), e.y, what);

  RowNormGradient<T> g{.rows = p.rows, .channels = p.channels};
  g.x = residual ? sum.data() : on_x.data(), g.dy = on_dy.data();
  g.gain = gain.data(), g.saved = saved.data();
  g.add = adds ? on_add.data() : nullptr;
  g.dx = !wanted ? nullptr : adds ? on_add.data() : on_dy.data();
  g.d_gain = d_gain.data(), g.d_bias = layer ? d_bias.data() : nullptr;
  g.workspace = workspace.data();
  run(layer, g);
  // rstd is up to 30 where a row of one channel has no variance; rows that sum up have errors too.
  const double tolerance = p.channels < 4 ? 1e-5 : 1e-6;
  if (wanted) expect_near(adds ? on_add.host() : on_dy.host(), e.dx, what + " dx", tolerance);
  expect_near(d_gain.host(), e.d_gain, what + " d_gain", tolerance * std::fmax(1, p.rows / 32));
  if (layer) {
    expect_near(d_bias.host(), e.d_bias, what + " d_bias", tolerance * std::fmax(1, p.rows / 32));
  }
  workspace.host();  // its guards
}

TEST(RowNorm, is_the_loop_in_double) {
  for (const Size size : kSizes) {
    for (bool layer : {true, false}) {
      expect_norm<float>(size, layer, false, true, false);
      expect_norm<float>(size, layer, true, true, true);
      expect_norm<__nv_bfloat16>(size, layer, true, true, true);
    }
  }
  expect_norm<float>({3, 36}, true, false, false, false);
  expect_norm<float>({3, 37}, true, false, false, false);
  expect_norm<__nv_bfloat16>({3, 40}, false, false, false, false);
}

TEST(RowNorm, sums_many_rows) {
  for (bool layer : {true, false}) {
    expect_norm<float>({2050, 4}, layer, false, true, false);
    expect_norm<float>({300, 3}, layer, false, true, false);
  }
}

// The deviations of x are of its last digits: what the mean in fp32 cuts off counts.
TEST(RowNorm, keeps_deviations_that_are_small_beside_the_mean) {
  for (std::int64_t channels : {31, 768, 1028}) {
    Problem p({2, channels});
    for (float& x : p.x) x = 10000 + 0.25f * x;
    const DeviceArray<float> x(p.x), gain(p.gain), bias(p.bias), y(p.x.size()), saved(6);
    run(true, RowNorm<float>{.rows = 2,
                             .channels = channels,
                             .x = x.data(),
                             .gain = gain.data(),
                             .bias = bias.data(),
                             .y = y.data(),
                             .saved = saved.data()});
    expect_near(y.host(), p.expected(true, 1e-5, p.x, p.dy, nullptr).y, "y", 3e-6);
  }
}

TEST(RowNorm, keeps_nan_to_its_row) {
  Problem p({5, 40});
  p.x[2 * 40 + 7] = NAN;
  const DeviceArray<float> x(p.x), gain(p.gain), bias(p.bias), y(p.x.size()), saved(15);
  run(true, RowNorm<float>{.rows = 5,
                           .channels = 40,
                           .x = x.data(),
                           .gain = gain.data(),
                           .bias = bias.data(),
                           .y = y.data(),
                           .saved = saved.data()});
  const Floats got = y.host();
  for (int i = 0; i < 200; ++i) EXPECT_EQ(std::isnan(got[i]), i / 40 == 2) << i;
}

TEST(RowNorm, is_its_reference) {
  for (bool layer : {true, false}) {
    const Problem p({37, 132});
    const DeviceArray<float> x(p.x), r(p.residual), sum(p.x.size()), y(p.x.size()), dy(p.dy),
        dx(p.x.size()), gain(p.gain), bias(p.bias), saved(37 * 3), d_gain(132), d_bias(132);
    const DeviceArray<std::byte> workspace(row_norm_workspace_bytes(37, 132));
    RowNorm<float> a{.rows = 37,
                     .channels = 132,
                     .x = x.data(),
                     .residual = r.data(),
                     .sum = sum.data(),
                     .gain = gain.data(),
                     .bias = bias.data(),
                     .y = y.data(),
                     .saved = saved.data()};
    RowNormGradient<float> g{.rows = 37,
                             .channels = 132,
                             .x = sum.data(),
                             .dy = dy.data(),
                             .gain = gain.data(),
                             .saved = saved.data(),
                             .dx = dx.data(),
                             .d_gain = d_gain.data(),
                             .d_bias = d_bias.data(),
                             .workspace = workspace.data()};
    layer ? layer_norm_reference(a, nullptr) : rms_norm_reference(a, nullptr);
    layer ? layer_norm_gradient_reference(g, nullptr) : rms_norm_gradient_reference(g, nullptr);
    const Floats y0 = y.host(), dx0 = dx.host(), gain0 = d_gain.host();
    run(layer, a);
    run(layer, g);
    expect_near(y.host(), {y0.begin(), y0.end()}, "y");
    expect_near(dx.host(), {dx0.begin(), dx0.end()}, "dx");
    expect_near(d_gain.host(), {gain0.begin(), gain0.end()}, "d_gain");
  }
}

}  // namespace
}  // namespace lockstep::kernels
