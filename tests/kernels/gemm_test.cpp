// The bf16 matrix product against loops in double.
#include "kernels/gemm.h"

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/device_array.h"

namespace lockstep::kernels {
namespace {

using Bf16s = std::vector<__nv_bfloat16>;

Bf16s numbers(std::int64_t n, unsigned seed) {
  std::mt19937 bits(seed);
  Bf16s x(n);
  for (auto& value : x) value = __float2bfloat16(static_cast<float>(bits() / 2147483648.0 - 1));
  return x;
}

double activated(double x, GemmActivation activation) {
  switch (activation) {
    case GemmActivation::kRelu:
      return x < 0 ? 0 : x;
    case GemmActivation::kGelu:
      return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
    case GemmActivation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case GemmActivation::kSilu:
      return x / (1 + std::exp(-x));
    default:
      return x;
  }
}

enum class Form { kForward, kInput, kWeight };

struct Case {
  std::int64_t m, n, k;
  Form form = Form::kForward;
  bool bias = false, accumulate = false;
  GemmActivation activation = GemmActivation::kNone;
  std::int64_t a_pad = 0, b_pad = 0, c_pad = 0;  // elements between rows that are not read
};

template <class T>
void expect_product(const Case& c, double unit) {
  SCOPED_TRACE(std::to_string(c.m) + " x " + std::to_string(c.n) + " x " + std::to_string(c.k) +
               " form " + std::to_string(static_cast<int>(c.form)));
  GemmBf16 g{.m = c.m, .n = c.n, .k = c.k};
  g.a_transposed = c.form == Form::kWeight;
  g.b_transposed = c.form == Form::kForward;
  g.a_step = (g.a_transposed ? c.m : c.k) + c.a_pad;
  g.b_step = (g.b_transposed ? c.k : c.n) + c.b_pad;
  g.c_step = c.n + c.c_pad;
  g.activation = c.activation;
  g.accumulate = c.accumulate;
  const Bf16s a = numbers((g.a_transposed ? c.k : c.m) * g.a_step, 1);
  const Bf16s b = numbers((g.b_transposed ? c.n : c.k) * g.b_step, 2);
  const Bf16s bias_numbers = numbers(c.n, 3), old = numbers(c.m * g.c_step, 4);
  std::vector<float> bias;
  for (const auto x : bias_numbers) bias.push_back(__bfloat162float(x));
  std::vector<T> c_old;
  for (const auto x : old) c_old.push_back(T(__bfloat162float(x)));
  const DeviceArray<__nv_bfloat16> a_device(a), b_device(b);
  const DeviceArray<float> bias_device(bias);
  g.a = a_device.data();
  g.b = b_device.data();
  if (c.bias) g.bias = bias_device.data();
  const DeviceArray<T> c_device(c_old), reference_device(c_old);
  gemm_bf16(g, c_device.data(), nullptr);
  gemm_bf16_reference(g, reference_device.data(), nullptr);
  const std::vector<T> is = c_device.host(), naive = reference_device.host();
  for (std::int64_t row = 0; row < c.m; ++row) {
    for (std::int64_t column = 0; column < g.c_step; ++column) {
      const std::int64_t at = row * g.c_step + column;
      if (column >= c.n) {
        ASSERT_EQ(float(is[at]), float(c_old[at])) << "between rows";
        continue;
      }
      double sum = 0;
      for (std::int64_t k = 0; k < c.k; ++k) {
        sum += double(float(a[g.a_transposed ? k * g.a_step + row : row * g.a_step + k])) *
               float(b[g.b_transposed ? column * g.b_step + k : k * g.b_step + column]);
      }
      double should = activated(sum + (c.bias ? bias[column] : 0), c.activation);
      if (c.accumulate) should += float(c_old[at]);
      const double bound = unit * std::fmax(1, std::fabs(should)) + 1e-6 * std::sqrt(double(c.k));
      ASSERT_NEAR(double(float(is[at])), should, bound) << row << ", " << column;
      ASSERT_NEAR(double(float(naive[at])), should, bound) << row << ", " << column;
    }
  }
}

constexpr double kFp32 = 0x1p-21, kBf16 = 0x1p-8;

TEST(GemmBf16, is_the_product_for_edge_sizes) {
  for (const Form form : {Form::kForward, Form::kInput, Form::kWeight}) {
    for (const std::int64_t size :
         shapes_to_try<std::int64_t>({1, 7, 8, 31, 33, 63, 64, 65, 72}, {65}))
      expect_product<float>({.m = size, .n = 72, .k = 40, .form = form}, kFp32);
    if (tiny()) continue;
    for (const std::int64_t size : {1, 7, 8, 31, 33, 63, 64, 65, 72})
      expect_product<float>({.m = 40, .n = size, .k = 24, .form = form}, kFp32);
    for (const std::int64_t size : {0, 1, 7, 8, 15, 17, 32, 33, 96, 97, 128, 136, 200})
      expect_product<float>({.m = 24, .n = 16, .k = size, .form = form}, kFp32);
  }
}

// 132 tiles of 128 x 128 and more take the large tiles.
TEST(GemmBf16, is_the_product_in_large_tiles) {
  expect_product<float>({.m = 1416, .n = 1410, .k = 8, .form = Form::kForward}, kFp32);
  expect_product<float>({.m = 1409, .n = 1416, .k = 40, .form = Form::kInput}, kFp32);
  expect_product<__nv_bfloat16>({.m = 1416,
                                 .n = 1416,
                                 .k = 33,
                                 .form = Form::kWeight,
                                 .bias = true,
                                 .activation = GemmActivation::kGelu},
                                kBf16);
}

TEST(GemmBf16, adds_a_bias_and_activates) {
  for (const auto activation : {GemmActivation::kNone, GemmActivation::kRelu, GemmActivation::kGelu,
                                GemmActivation::kGeluTanh, GemmActivation::kSilu}) {
    const Case c{.m = 33, .n = 47, .k = 48, .bias = true, .activation = activation};
    expect_product<float>(c, 4 * kFp32);
    expect_product<__nv_bfloat16>(c, kBf16);
  }
}

TEST(GemmBf16, adds_to_what_is_there) {
  for (const Form form : {Form::kForward, Form::kInput, Form::kWeight}) {
    const Case c{.m = 40, .n = 56, .k = 32, .form = form, .accumulate = true};
    expect_product<float>(c, kFp32);
    expect_product<__nv_bfloat16>(c, 2 * kBf16);
  }
}

TEST(GemmBf16, takes_rows_apart_from_each_other) {
  for (const Form form : {Form::kForward, Form::kInput, Form::kWeight}) {
    for (const std::int64_t pad : {1, 4, 8}) {
      expect_product<float>(
          {.m = 24, .n = 40, .k = 32, .form = form, .a_pad = pad, .b_pad = 8, .c_pad = pad}, kFp32);
    }
  }
}

// The same rows in a product of 7 rows, of 60, and in large tiles.
TEST(GemmBf16, rows_do_not_depend_on_how_many_there_are) {
  const std::int64_t n = 1416, k = 72;
  const DeviceArray<__nv_bfloat16> a(numbers(1416 * k, 1)), b(numbers(n * k, 2));
  const auto rows = [&](std::int64_t m) {
    const DeviceArray<float> c(m * n);
    gemm_bf16({.m = m, .n = n, .k = k, .a = a.data(), .b = b.data(), .b_transposed = true},
              c.data(), nullptr);
    std::vector<float> host = c.host();
    host.resize(7 * n);
    return host;
  };
  const std::vector<float> seven = rows(7);
  EXPECT_EQ(rows(60), seven);
  EXPECT_EQ(rows(1416), seven);
}

TEST(GemmBf16, carries_what_is_not_finite) {
  Bf16s a = numbers(8 * 16, 1);
  a[3 * 16 + 5] = __float2bfloat16(NAN);
  a[6 * 16 + 2] = __float2bfloat16(INFINITY);
  const DeviceArray<__nv_bfloat16> a_device(a), b_device(numbers(16 * 8, 2));
  for (const auto activation : {GemmActivation::kNone, GemmActivation::kRelu}) {
    const DeviceArray<float> c(8 * 8);
    gemm_bf16({.m = 8,
               .n = 8,
               .k = 16,
               .a = a_device.data(),
               .b = b_device.data(),
               .activation = activation},
              c.data(), nullptr);
    const std::vector<float> is = c.host();
    for (int i = 0; i < 64; ++i) {
      const int row = i / 8;
      if (row == 6 && activation != GemmActivation::kNone) continue;  // relu(-inf) is 0
      EXPECT_EQ(std::isfinite(is[i]), row != 3 && row != 6) << i;
      EXPECT_EQ(std::isnan(is[i]), row == 3) << i;
    }
  }
}

}  // namespace
}  // namespace lockstep::kernels
