#include "kernels/bias_activation.h"

#include "kernels/oracle.h"

namespace lockstep::kernels {
namespace {

struct Size {
  std::int64_t rows, columns;
};
// Around the widths of packs, warps and tiles, few rows and many, narrow and wide.
const std::vector<Size> kSizes = shapes_to_try<Size>({{1, 1},
                                                      {7, 31},
                                                      {31, 32},
                                                      {33, 33},
                                                      {1023, 7},
                                                      {3, 1000},
                                                      {64, 4},
                                                      {65, 12},
                                                      {257, 36},
                                                      {130, 128},
                                                      {5, 1023},
                                                      {2, 1028}},
                                                     {{65, 12}, {70, 33}});
constexpr RandomKey kKey = {.seed = 77, .step = 3, .lane_micro = 5, .op = 9};

template <class Z>
struct Problem {
  std::int64_t rows, columns;
  std::vector<Z> z;
  Floats bias, residual, dy;
  DeviceArray<Z> on_z;
  DeviceArray<float> on_bias, on_residual, on_dy;
  DeviceArray<RandomKey> on_key;

  explicit Problem(Size s)
      : rows(s.rows),
        columns(s.columns),
        z(of_type<Z>(uniform(rows * columns, 1, -4, 4))),
        bias(uniform(columns, 2)),
        residual(uniform(rows * columns, 3)),
        dy(uniform(rows * columns, 4)),
        on_z(z),
        on_bias(bias),
        on_residual(residual),
        on_dy(dy),
        on_key(std::vector<RandomKey>{{kKey.seed, kKey.step, kKey.lane_micro, 0}}) {}

  Drop drop(float rate) const { return {on_key.data(), kKey.op, rate}; }
};

template <class Z>
void expect_forward(Size size, ops::Activation act, bool bias, bool residual, float rate) {
  const Problem<Z> p(size);
  const Floats z = to_floats(p.z);
  Doubles expected;
  for (std::int64_t i = 0; i < p.rows * p.columns; ++i) {
    const float in = bias ? z[i] + p.bias[i % p.columns] : z[i];
    double y = activation(act, in, 0.1f);
    if (rate > 0) y *= drop_factor(kKey, rate, i);
    expected.push_back(residual ? y + p.residual[i] : y);
  }
  const DeviceArray<float> y(z.size());
  const DeviceArray<__nv_bfloat16> y_bf16(z.size());
  BiasActivation<Z> a{.rows = p.rows, .columns = p.columns, .z = p.on_z.data()};
  a.bias = bias ? p.on_bias.data() : nullptr;
  a.residual = residual ? p.on_residual.data() : nullptr;
  a.y = y.data(), a.y_bf16 = y_bf16.data();
  a.activation = act, a.slope = 0.1f, a.drop = p.drop(rate);
  bias_activation(a, nullptr);
  const std::string what =
      std::to_string(p.rows) + " x " + std::to_string(p.columns) + " " + std::string(name_of(act));
  expect_near(y.host(), expected, what);
  expect_near(y_bf16.host(), expected, what + " bf16");
}

TEST(BiasActivation, is_the_loop_in_double) {
  for (const Size size : kSizes) {
    expect_forward<float>(size, ops::Activation::kGelu, true, true, 0.25f);
    expect_forward<float>(size, ops::Activation::kNone, false, false, 0);
    expect_forward<__nv_bfloat16>(size, ops::Activation::kSilu, true, false, 0.5f);
  }
  if (tiny()) return;
  for (ops::Activation act : kActivations) {
    expect_forward<float>({9, 20}, act, true, false, 0);
    expect_forward<__nv_bfloat16>({3, 21}, act, false, true, 0.1f);
  }
}

TEST(BiasActivation, may_write_in_the_place_of_z) {
  const Problem<float> p({33, 36});
  const DeviceArray<float> y(p.z), apart(p.z.size());
  BiasActivation<float> a{.rows = 33, .columns = 36, .z = p.on_z.data(), .bias = p.on_bias.data()};
  a.activation = ops::Activation::kGeluTanh;
  a.y = apart.data();
  bias_activation(a, nullptr);
  a.z = a.y = y.data();
  bias_activation(a, nullptr);
  EXPECT_EQ(y.host(), apart.host());
  bias_activation_reference(a = {.rows = 33,
                                 .columns = 36,
                                 .z = p.on_z.data(),
                                 .bias = p.on_bias.data(),
                                 .y = y.data(),
                                 .activation = ops::Activation::kGeluTanh},
                            nullptr);
  EXPECT_EQ(y.host(), apart.host());
}

TEST(BiasActivation, lets_nan_and_infinity_through) {
  const DeviceArray<float> z(Floats{NAN, INFINITY, -INFINITY, NAN}), y(4);
  const DeviceArray<RandomKey> key(std::vector<RandomKey>{kKey});
  BiasActivation<float> a{.rows = 1, .columns = 4, .z = z.data(), .y = y.data()};
  for (ops::Activation act : kActivations) {
    a.activation = act;
    bias_activation(a, nullptr);
    const Floats got = y.host();
    EXPECT_TRUE(std::isnan(got[0]) && std::isnan(got[3])) << name_of(act);
    const bool bounded = act == ops::Activation::kTanh || act == ops::Activation::kSigmoid;
    EXPECT_EQ(got[1], bounded ? 1 : INFINITY) << name_of(act);
  }
  a.activation = ops::Activation::kNone, a.drop = {key.data(), kKey.op, 0.999f};
  bias_activation(a, nullptr);
  for (float v : y.host()) EXPECT_FALSE(std::isfinite(v));  // dropped ones are 0 * x
}

template <class Z>
void expect_gradient(Size size, ops::Activation act, bool bias, float rate, bool sums, bool bf16) {
  const bool output = act == ops::Activation::kTanh || act == ops::Activation::kSigmoid;
  bias = bias && !output;
  const Problem<Z> p(size);
  const std::int64_t n = p.rows * p.columns;
  Floats z = to_floats(p.z), from = z;
  Doubles expected, d_bias(p.columns);
  for (std::int64_t i = 0; i < n; ++i) {
    if (output) from[i] = static_cast<float>(activation(act, z[i], 0));
    const float in = bias ? z[i] + p.bias[i % p.columns] : z[i];
    double dz = p.dy[i] * activation_slope(act, in, 0.1f);
    if (rate > 0) dz *= drop_factor(kKey, rate, i);
    expected.push_back(dz);
    d_bias[i % p.columns] += dz;
  }
  const DeviceArray<Z> on_from(of_type<Z>(from));
  const DeviceArray<float> dz(n), sum(p.columns);
  const DeviceArray<__nv_bfloat16> dz_bf16(n);
  const DeviceArray<std::byte> workspace(bias_workspace_bytes(p.rows, p.columns));
  BiasActivationGradient<Z> a{.rows = p.rows, .columns = p.columns, .dy = p.on_dy.data()};
  a.from = act == ops::Activation::kNone ? nullptr : on_from.data();
  a.bias = bias ? p.on_bias.data() : nullptr;
  a.dz = dz.data(), a.dz_bf16 = bf16 ? dz_bf16.data() : nullptr;
  if (sums) a.d_bias = sum.data(), a.workspace = workspace.data();
  a.activation = act, a.slope = 0.1f, a.drop = p.drop(rate);
  bias_activation_gradient(a, nullptr);
  const std::string what =
      std::to_string(p.rows) + " x " + std::to_string(p.columns) + " " + std::string(name_of(act));
  // A derivative from an output in bf16 is as exact as that.
  const double tolerance = output && sizeof(Z) == 2 ? 0x1p-7 : 1e-6;
  expect_near(dz.host(), expected, what, tolerance);
  if (bf16) expect_near(dz_bf16.host(), expected, what + " bf16", tolerance);
  if (sums) expect_near(sum.host(), d_bias, what + " d_bias", tolerance * std::fmax(1, p.rows / 8));
  workspace.host();  // its guards
}

TEST(BiasActivationGradient, is_the_loop_in_double) {
  for (const Size size : kSizes) {
    expect_gradient<float>(size, ops::Activation::kGelu, true, 0.25f, true, true);
    expect_gradient<float>(size, ops::Activation::kNone, false, 0, true, false);
    expect_gradient<__nv_bfloat16>(size, ops::Activation::kSilu, true, 0.5f, false, true);
  }
  if (tiny()) return;
  for (ops::Activation act : kActivations) {
    expect_gradient<float>({9, 20}, act, true, 0, true, true);
    expect_gradient<__nv_bfloat16>({70, 21}, act, false, 0.1f, true, false);
  }
}

TEST(BiasActivationGradient, is_its_reference) {
  const Problem<float> p({300, 40});
  const DeviceArray<float> a_dz(p.dy), b_dz(p.dy), a_sum(40), b_sum(40);
  const DeviceArray<std::byte> workspace(bias_workspace_bytes(300, 40));
  BiasActivationGradient<float> a{.rows = 300,
                                  .columns = 40,
                                  .dy = a_dz.data(),
                                  .from = p.on_z.data(),
                                  .bias = p.on_bias.data(),
                                  .dz = a_dz.data(),
                                  .d_bias = a_sum.data(),
                                  .workspace = workspace.data(),
                                  .activation = ops::Activation::kGeluTanh,
                                  .drop = p.drop(0.3f)};
  bias_activation_gradient(a, nullptr);
  a.dy = a.dz = b_dz.data(), a.d_bias = b_sum.data();
  bias_activation_gradient_reference(a, nullptr);
  EXPECT_EQ(a_dz.host(), b_dz.host());
  const Floats sum = b_sum.host();
  expect_near(a_sum.host(), {sum.begin(), sum.end()}, "d_bias", 1e-5);
}

}  // namespace
}  // namespace lockstep::kernels
