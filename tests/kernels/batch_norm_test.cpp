#include "kernels/batch_norm.h"

#include "kernels/oracle.h"

namespace lockstep::kernels {
namespace {

struct Size {
  std::int64_t rows, channels;
};
// Few rows and many, narrow and wide, around packs, tiles and the rows of a thread.
const std::vector<Size> kSizes = shapes_to_try<Size>({{2, 1},
                                                      {7, 31},
                                                      {31, 32},
                                                      {33, 33},
                                                      {63, 12},
                                                      {64, 4},
                                                      {65, 20},
                                                      {3, 1000},
                                                      {5, 1023},
                                                      {257, 64},
                                                      {1023, 16},
                                                      {4099, 3},
                                                      {130, 260}},
                                                     {{65, 20}, {70, 33}});
constexpr float kEpsilon = 1e-3f;

struct Problem {
  std::int64_t rows, channels;
  Floats x, residual, dy, gain, bias;
  Doubles mean, variance, rstd;  // of each channel

  explicit Problem(Size s, double centre = 0.5, double deviation = 1)
      : rows(s.rows),
        channels(s.channels),
        x(uniform(rows * channels, 1, centre - deviation, centre + deviation)),
        residual(uniform(rows * channels, 2)),
        dy(uniform(rows * channels, 3)),
        gain(uniform(channels, 4, 0.5, 1.5)),
        bias(uniform(channels, 5)) {
    measure();
  }
  void measure() {
    mean.clear(), variance.clear(), rstd.clear();
    for (std::int64_t c = 0; c < channels; ++c) {
      double sum = 0, squares = 0;
      for (std::int64_t r = 0; r < rows; ++r) sum += x[r * channels + c];
      mean.push_back(sum / rows);
      for (std::int64_t r = 0; r < rows; ++r)
        squares += (x[r * channels + c] - mean[c]) * (x[r * channels + c] - mean[c]);
      variance.push_back(squares / rows);
      rstd.push_back(1 / std::sqrt(variance[c] + kEpsilon));
    }
  }
  double hat(std::int64_t i) const { return (x[i] - mean[i % channels]) * rstd[i % channels]; }
  double z(std::int64_t i, bool add) const {
    return hat(i) * gain[i % channels] + bias[i % channels] + (add ? residual[i] : 0);
  }
};

struct OnDevice {
  const Problem& p;
  DeviceArray<float> x, residual, dy, gain, bias, mean, rest, rstd, lane_mean, lane_variance;
  DeviceArray<std::byte> workspace;

  explicit OnDevice(const Problem& p)
      : p(p),
        x(p.x),
        residual(p.residual),
        dy(p.dy),
        gain(p.gain),
        bias(p.bias),
        mean(p.channels),
        rest(p.channels),
        rstd(p.channels),
        lane_mean(p.channels),
        lane_variance(p.channels),
        workspace(batch_norm_workspace_bytes(p.rows, p.channels)) {}

  BatchNormStatistics statistics() const {
    return {.rows = p.rows,
            .channels = p.channels,
            .epsilon = kEpsilon,
            .x = x.data(),
            .mean = mean.data(),
            .rest = rest.data(),
            .rstd = rstd.data(),
            .lane_mean = lane_mean.data(),
            .lane_variance = lane_variance.data(),
            .workspace = workspace.data()};
  }
  BatchNormScale scale() const {
    return {.mean = mean.data(),
            .rest = rest.data(),
            .rstd = rstd.data(),
            .gain = gain.data(),
            .bias = bias.data()};
  }
  BatchNormForward forward(float* y, bool relu, bool add) const {
    return {.rows = p.rows,
            .channels = p.channels,
            .x = x.data(),
            .residual = add ? residual.data() : nullptr,
            .y = y,
            .relu = relu,
            .scale = scale()};
  }
};

std::string name(const Problem& p) {
  return "batch norm " + std::to_string(p.rows) + " x " + std::to_string(p.channels);
}

// |got / expected - 1| <= tolerance.
void expect_ratio(const Floats& got, const Doubles& expected, double tolerance,
                  const std::string& what) {
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_LE(std::fabs(got[i] / expected[i] - 1), tolerance) << what << " " << i << ": " << got[i];
}

void expect_statistics(const Problem& p, double tolerance) {
  const OnDevice d(p);
  batch_norm_statistics(d.statistics(), nullptr);
  Doubles variance = p.variance, mean;
  for (double& v : variance) v *= static_cast<double>(p.rows) / (p.rows - 1);
  expect_ratio(d.lane_variance.host(), variance, tolerance, name(p) + " variance");
  expect_ratio(d.rstd.host(), p.rstd, tolerance, name(p) + " rstd");
  const Floats high = d.mean.host(), rest = d.rest.host();
  EXPECT_EQ(d.lane_mean.host(), high);
  for (std::int64_t c = 0; c < p.channels; ++c)
    ASSERT_LE(std::fabs(double{high[c]} + rest[c] - p.mean[c]), 1e-6 * std::sqrt(p.variance[c]))
        << name(p);
  d.workspace.host();  // its guards
}

TEST(BatchNorm, statistics_are_those_in_double) {
  for (const Size size : kSizes) expect_statistics(Problem(size), 2e-6);
}

TEST(BatchNorm, statistics_hold_where_the_mean_is_large) {
  for (const Size size : {Size{33, 33}, {1023, 16}, {5, 1023}})
    expect_statistics(Problem(size, 10000, 0.1), 2e-6);
  Problem p({257, 8}, 3, 0.01);
  for (int c = 0; c < 8; ++c) p.x[c] = 100;  // the first row lies far out
  p.measure();
  expect_statistics(p, 2e-6);
}

TEST(BatchNorm, forward_is_the_loop_in_double) {
  for (const Size size : kSizes) {
    const Problem p(size);
    const OnDevice d(p);
    const DeviceArray<float> y(p.x.size());
    batch_norm_statistics(d.statistics(), nullptr);
    for (bool relu : {false, true}) {
      for (bool add : {false, true}) {
        batch_norm_forward(d.forward(y.data(), relu, add), nullptr);
        Doubles expected;
        for (std::int64_t i = 0; i < p.rows * p.channels; ++i)
          expected.push_back(relu ? std::fmax(p.z(i, add), 0) : p.z(i, add));
        expect_near(y.host(), expected, name(p), 2e-6);
      }
    }
  }
}

TEST(BatchNorm, evaluates_with_the_variance) {
  const Problem p({9, 20});
  const OnDevice d(p);
  const DeviceArray<float> mean(Floats(p.mean.begin(), p.mean.end())),
      variance(Floats(p.variance.begin(), p.variance.end())), y(p.x);
  BatchNormForward f = d.forward(y.data(), true, false);
  f.x = y.data();  // in place
  f.scale = {.mean = mean.data(),
             .variance = variance.data(),
             .epsilon = kEpsilon,
             .gain = d.gain.data(),
             .bias = d.bias.data()};
  batch_norm_forward(f, nullptr);
  Doubles expected;
  for (std::int64_t i = 0; i < 180; ++i) expected.push_back(std::fmax(p.z(i, false), 0));
  expect_near(y.host(), expected, "evaluation", 2e-6);
}

void expect_gradient(const Problem& p, bool relu, bool add, bool keep) {
  const OnDevice d(p);
  const std::int64_t n = p.rows * p.channels;
  const DeviceArray<float> y(n), dx(n), d_residual(n), d_gain(p.channels), d_bias(p.channels);
  batch_norm_statistics(d.statistics(), nullptr);
  batch_norm_forward(d.forward(y.data(), relu, add), nullptr);
  const Floats out = y.host();  // the mask is the device's own
  Doubles dz, expected, gain(p.channels), bias(p.channels);
  for (std::int64_t i = 0; i < n; ++i) {
    dz.push_back(relu && out[i] <= 0 ? 0 : p.dy[i]);
    gain[i % p.channels] += dz[i] * p.hat(i), bias[i % p.channels] += dz[i];
  }
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t c = i % p.channels;
    expected.push_back(p.gain[c] * p.rstd[c] *
                       (dz[i] - bias[c] / p.rows - p.hat(i) * gain[c] / p.rows));
  }
  BatchNormGradient g{.rows = p.rows,
                      .channels = p.channels,
                      .x = d.x.data(),
                      .dy = d.dy.data(),
                      .relu = relu,
                      .output = relu && add ? y.data() : nullptr};
  g.d_residual = keep ? d_residual.data() : nullptr;
  g.dx = dx.data(), g.d_gain = d_gain.data(), g.d_bias = d_bias.data();
  g.scale = d.scale(), g.workspace = d.workspace.data();
  batch_norm_gradient(g, nullptr);
  const double many = std::fmax(1, p.rows / 32.0);
  // Two rows are opposite multiples of one another: what is left of dx is small beside its terms.
  expect_near(dx.host(), expected, name(p) + " dx", p.rows < 8 ? 2e-5 : 3e-6);
  expect_near(d_gain.host(), gain, name(p) + " d_gain", 2e-6 * many);
  expect_near(d_bias.host(), bias, name(p) + " d_bias", 1e-6 * many);
  if (keep) expect_near(d_residual.host(), dz, name(p) + " d_residual");
  d.workspace.host();

  const Floats dx0 = dx.host(), gain0 = d_gain.host();
  batch_norm_gradient_reference(g, nullptr);
  expect_near(dx.host(), {dx0.begin(), dx0.end()}, "reference dx", 2e-5);
  expect_near(d_gain.host(), {gain0.begin(), gain0.end()}, "reference d_gain", 2e-6 * many);
}

TEST(BatchNorm, gradient_is_the_loop_in_double) {
  for (const Size size : kSizes) {
    const Problem p(size);
    expect_gradient(p, false, false, false);
    expect_gradient(p, true, false, false);
    expect_gradient(p, true, true, true);
  }
  const Problem p({100, 20});
  expect_gradient(p, true, true, false);
  expect_gradient(p, false, true, true);
  expect_gradient(Problem({100, 20}, 10000, 1), true, false, false);
}

TEST(BatchNorm, is_its_reference) {
  const Problem p({65, 20});
  const OnDevice d(p);
  const DeviceArray<float> y(p.x.size());
  batch_norm_statistics_reference(d.statistics(), nullptr);
  const Floats mean = d.mean.host(), rstd = d.rstd.host(), variance = d.lane_variance.host();
  batch_norm_forward_reference(d.forward(y.data(), true, true), nullptr);
  const Floats out = y.host();
  batch_norm_statistics(d.statistics(), nullptr);
  batch_norm_forward(d.forward(y.data(), true, true), nullptr);
  expect_near(d.mean.host(), {mean.begin(), mean.end()}, "mean");
  expect_near(d.rstd.host(), {rstd.begin(), rstd.end()}, "rstd");
  expect_near(d.lane_variance.host(), {variance.begin(), variance.end()}, "variance");
  expect_near(y.host(), {out.begin(), out.end()}, "y");
}

TEST(BatchNorm, keeps_nan_to_its_channel) {
  Problem p({40, 8});
  p.x[3 * 8 + 5] = NAN;
  const OnDevice d(p);
  const DeviceArray<float> y(p.x.size());
  batch_norm_statistics(d.statistics(), nullptr);
  batch_norm_forward(d.forward(y.data(), true, false), nullptr);
  const Floats got = y.host();
  for (int i = 0; i < 320; ++i) EXPECT_EQ(std::isnan(got[i]), i % 8 == 5) << i;
}

}  // namespace
}  // namespace lockstep::kernels
