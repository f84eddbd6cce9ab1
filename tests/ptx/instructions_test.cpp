// Each family of PTX instructions against values computed otherwise.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "tests/ptx/launch.h"

namespace lockstep::ptx {
namespace {

TEST(Instructions, shuffle_within_segments) {
  std::vector<int> out(32 * 8);
  launch("shuffles", 1, 32, 0, out.data());
  for (int lane = 0; lane < 32; ++lane) {
    const int* own = &out[8 * lane];
    EXPECT_EQ(own[0], 100 + (lane ^ 5));
    EXPECT_EQ(own[1], 100 + (lane + 3 < 32 ? lane + 3 : lane));
    EXPECT_EQ(own[2], 100 + (lane >= 3 ? lane - 3 : lane));
    EXPECT_EQ(own[3], 107);
    EXPECT_EQ(own[4], 100 + (lane ^ 3));
    EXPECT_EQ(own[5], 100 + (lane % 8 + 3 < 8 ? lane + 3 : lane));
    EXPECT_EQ(own[6], 100 + (lane % 8 >= 3 ? lane - 3 : lane));
    EXPECT_EQ(own[7], 100 + lane / 8 * 8 + 2);
  }
}

TEST(Instructions, vote_match_and_reduce) {
  std::vector<unsigned> out(32 * 7);
  launch("votes", 1, 32, 0, out.data());
  for (int lane = 0; lane < 32; ++lane) {
    const unsigned* own = &out[7 * lane];
    EXPECT_EQ(own[0], 0x49249249u);
    EXPECT_EQ(own[1], 3u);
    EXPECT_EQ(own[2], 0xFu << lane / 4 * 4);
    EXPECT_EQ(own[3], 496u);
    EXPECT_EQ(own[4], static_cast<unsigned>(-7));
    EXPECT_EQ(own[5], lane < 16 ? 0xFFFFu : 0xFFFF0000u);
    EXPECT_EQ(own[6], 11u);
  }
}

std::uint32_t reversed_bits(std::uint32_t x) {
  std::uint32_t y = 0;
  for (int i = 0; i < 32; ++i) y |= (x >> i & 1) << (31 - i);
  return y;
}

TEST(Instructions, integers) {
  const std::vector<unsigned> words = {0,          1,          2,     0x7FFFFFFF, 0x80000000,
                                       0xFFFFFFFF, 0xDEADBEEF, 12345, 0x10005};
  std::vector<unsigned> a, b, c;
  for (unsigned x : words)
    for (unsigned y : words)
      for (unsigned z : words) a.push_back(x), b.push_back(y), c.push_back(z);
  const int n = static_cast<int>(a.size());
  std::vector<unsigned> out(12 * n);
  launch("integers", (n + 63) / 64, 64, 0, a.data(), b.data(), c.data(), out.data(), n);
  __extension__ typedef unsigned __int128 Wide;
  for (int i = 0; i < n; ++i) {
    const unsigned x = a[i], y = b[i], z = c[i];
    const unsigned* own = &out[12 * i];
    const auto sx = static_cast<int>(x), sy = static_cast<int>(y);
    ASSERT_EQ(own[0], std::uint64_t{x} * y >> 32);
    ASSERT_EQ(own[1], static_cast<unsigned>(std::int64_t{sx} * sy >> 32));
    ASSERT_EQ(own[2], static_cast<unsigned>(
                          Wide(std::uint64_t{x} << 31 | y) * (std::uint64_t{z} << 32 | x) >> 64));
    ASSERT_EQ(own[3], reversed_bits(x) ^ std::countl_zero(y) ^ std::popcount(z));
    unsigned bytes = 0;
    for (int k = 0; k < 4; ++k)
      bytes |= ((std::uint64_t{y} << 32 | x) >> 8 * (z >> 4 * k & 7) & 0xFF) << 8 * k;
    ASSERT_EQ(own[4], bytes);
    const std::uint64_t both = std::uint64_t{y} << 32 | x;
    ASSERT_EQ(own[5],
              static_cast<unsigned>(both << z % 32 >> 32) ^ static_cast<unsigned>(both >> z % 32));
    ASSERT_EQ(own[6], static_cast<unsigned>(static_cast<int>(x << 18) >> 23));
    ASSERT_EQ(own[7], (y & ~(0x7FFu << 7)) | (x & 0x7FF) << 7);
    ASSERT_EQ(own[8], (x & y) | (~x & z));
    const std::int64_t quotient = std::int64_t{sx} / static_cast<int>(y | 1);
    ASSERT_EQ(own[9], x / (y | 1) + x % (z | 1) + static_cast<unsigned>(quotient));
    unsigned dot = z;
    for (int k = 0; k < 4; ++k) dot += (x >> 8 * k & 0xFF) * (y >> 8 * k & 0xFF);
    ASSERT_EQ(own[10], dot);
    ASSERT_EQ(own[11], z + 7 + ((std::uint64_t{x} + y) >> 32));
  }
}

TEST(Instructions, floats) {
  const std::vector<float> x = {0.1f, -0.7f, 1.0f, -2.5f, 3.25f, 17.0f, -1e-3f, 1.5f};
  std::vector<float> out(12 * x.size());
  launch("floats", 1, 32, 0, x.data(), out.data(), static_cast<int>(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float v = x[i], *own = &out[12 * i];
    const double d = v;
    const auto near = [](double value) { return 1e-6 * std::fabs(value) + 1e-9; };
    EXPECT_NEAR(own[0], std::exp(d), near(std::exp(d)));
    EXPECT_NEAR(own[1], std::log(std::fabs(d)), 2e-6);
    EXPECT_NEAR(own[2], 1 / std::sqrt(std::fabs(d)), near(1 / std::sqrt(std::fabs(d))));
    EXPECT_NEAR(own[3], std::tanh(d), 5e-7);
    EXPECT_NEAR(own[4], std::erf(d), 5e-7);
    EXPECT_EQ(own[5], std::fma(v, v, -1.0f));
    EXPECT_EQ(own[6], static_cast<float>(std::nearbyint(d * 2.5) + std::trunc(d)));
    EXPECT_EQ(own[7], 1.0f / v + std::sqrt(std::fabs(v)));
    EXPECT_EQ(own[8], std::fmin(v, 0.25f) + v);
    EXPECT_EQ(own[9], static_cast<float>(std::sqrt(std::fabs(d)) / 3.0));
    EXPECT_NEAR(own[10], std::tanh(d), 1e-5);
    const float down =
        static_cast<double>(v + 1e-9f) > d + 1e-9f ? std::nextafter(v + 1e-9f, -9.f) : v + 1e-9f;
    EXPECT_EQ(own[11], down + std::nextafter(down, 99.0f)) << v;
  }
}

// To the nearest of 8 bits of mantissa, ties to even.
float to_bf16(double x) {
  int exponent = 0;
  const double fraction = std::frexp(x, &exponent);
  return static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8));
}

TEST(Instructions, halves_are_rounded_once) {
  const std::vector<float> x = {0.1f, -0.7f, 1.00390625f, 257.0f, 3.3e5f, -1e-3f},
                           y = {1.7f, 0.701f, 1.00390625f, 0.996f, 1e-4f, 123.0f};
  const int n = static_cast<int>(x.size());
  std::vector<float> out(6 * n);
  launch("halves", 1, 32, 0, x.data(), y.data(), out.data(), n);
  for (int i = 0; i < n; ++i) {
    const float* own = &out[6 * i];
    const double a = to_bf16(x[i]), b = to_bf16(y[i]);
    EXPECT_EQ(own[0], to_bf16(a + b));
    EXPECT_EQ(own[1], to_bf16(a * b + a));
    EXPECT_EQ(own[2], to_bf16(a * b));
    EXPECT_EQ(own[3], to_bf16(b * 2));
    const auto half = [](double v) { return static_cast<double>(static_cast<_Float16>(v)); };
    const double exact = half(x[i]) * half(y[i]) + half(0.1f);
    EXPECT_EQ(own[4], static_cast<float>(half(exact)));
    EXPECT_EQ(own[5], std::bit_cast<float>(std::bit_cast<std::uint32_t>(x[i]) & 0xFFFF0000u));
  }
}

TEST(Instructions, memories_calls_and_atomics) {
  alignas(16) std::vector<float> x(4 * 64);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) * 0.25f;
  std::vector<float> sums(4), out(64);
  std::vector<int> counts(4);
  launch("memories", 1, 64, 64 * sizeof(float), x.data(), sums.data(), counts.data(), out.data());
  float sum = 0;
  std::vector<float> dynamic(64);
  for (int i = 0; i < 64; ++i) {
    const float* v = &x[4 * i];
    sum += v[1];
    const auto local = [&](int k) { return v[0] + k + (k == i % 8 ? v[3] : 0.0f); };
    const float z = local((i + 3) % 8);
    dynamic[i] = ((0.5f * z + 3) * z - 2) * z + 1 + local(i % 8);
  }
  EXPECT_EQ(sums[0], sum);  // quarters: exact in any order
  EXPECT_EQ(counts, (std::vector<int>{63, -63, 7, 0}));
  for (int i = 0; i < 64; ++i) EXPECT_NEAR(out[i], dynamic[63 - i] + 1, 1e-3);
  EXPECT_EQ(*static_cast<const int*>(find_variable("calls").data), 64);
}

TEST(Instructions, matrix_product_through_asynchronous_copies) {
  alignas(16) std::uint16_t a[256], b[128];
  float x[256], y[128], c[128];
  const auto value = [](int i) { return static_cast<float>(i % 17 - 8) * 0.25f; };
  for (int i = 0; i < 256; ++i) a[i] = std::bit_cast<std::uint32_t>(x[i] = value(7 * i)) >> 16;
  for (int i = 0; i < 128; ++i) b[i] = std::bit_cast<std::uint32_t>(y[i] = value(5 * i + 3)) >> 16;
  launch("product", 1, 32, 0, +a, +b, +c);
  for (int m = 0; m < 16; ++m)
    for (int n = 0; n < 8; ++n) {
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += x[16 * m + k] * y[16 * n + k];
      EXPECT_EQ(c[8 * m + n], sum) << m << " " << n;
    }
}

TEST(Instructions, asynchronous_copy_fills_with_zeros) {
  alignas(16) unsigned from[32], out[32];
  for (unsigned i = 0; i < 32; ++i) from[i] = i + 1;
  launch("partial_copy", 1, 32, 0, +from, +out, 13);
  for (unsigned i = 0; i < 32; ++i) EXPECT_EQ(out[i], i < 13 ? i + 1 : 0);
}

TEST(Instructions, named_barrier_orders_two_warps) {
  int out[32];
  launch("named_barrier", 1, 64, 0, +out);
  for (int i = 0; i < 32; ++i) EXPECT_EQ(out[i], 3 * (31 - i));
}

}  // namespace
}  // namespace lockstep::ptx
