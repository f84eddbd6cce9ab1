// Softmax cross-entropy against loops in double, and against the naive kernel.
#include "kernels/cross_entropy.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/device_array.h"

namespace lockstep::kernels {
namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using Ints = std::vector<std::int32_t>;
constexpr float kInf = std::numeric_limits<float>::infinity();

float widened(float x) { return x; }
float widened(__nv_bfloat16 x) { return __bfloat162float(x); }

// A tie now and then: scores are multiples of 1/64.
Floats scores(std::int64_t n, unsigned seed) {
  std::mt19937 bits(seed);
  Floats x(n);
  for (float& value : x) value = static_cast<float>(bits() % 512) / 64 - 4;
  return x;
}
Ints labels_of(std::int64_t rows, std::int64_t width) {
  Ints labels;
  for (std::int64_t r = 0; r < rows; ++r) {
    labels.push_back(r % 5 == 3 ? -1 : static_cast<std::int32_t>(r * 7919 % width));
  }
  return labels;
}

template <class T>
struct Batch {
  std::int64_t rows, width;
  std::vector<T> logits;
  Ints labels;
  Batch(std::int64_t r, std::int64_t w) : rows(r), width(w), labels(labels_of(r, w)) {
    for (const float x : scores(r * w, 5)) logits.push_back(static_cast<T>(x));
  }
};

template <class T>
struct Outcome {
  Floats d;
  Doubles losses;
  Ints rank;
};
template <class T>
using Kernel = void (*)(const CrossEntropyRows<T>&, cudaStream_t);

// shift: elements by which the logits start late, off the 16 bytes.
template <class T>
Outcome<T> run(const Batch<T>& b, Kernel<T> kernel, bool in_place, int shift = 0) {
  std::vector<T> late(shift, T(0.0f));
  late.insert(late.end(), b.logits.begin(), b.logits.end());
  const DeviceArray<T> logits(late), d(b.logits.size());
  const DeviceArray<std::int32_t> labels(b.labels), rank(b.rows);
  const DeviceArray<double> losses(b.rows);
  T* const z = logits.data() + shift;
  kernel({z, labels.data(), b.rows, b.width, in_place ? z : d.data(), losses.data(), rank.data()},
         nullptr);
  Outcome<T> out;
  const std::vector<T> got = in_place ? logits.host() : d.host();
  for (std::size_t i = in_place ? shift : 0; i < got.size(); ++i) out.d.push_back(widened(got[i]));
  out.losses = losses.host(), out.rank = rank.host();
  return out;
}

// tolerance: of the gradient, that of one rounding to T and of the exponential.
template <class T>
void expect_right(const Batch<T>& b, const Outcome<T>& got, double tolerance) {
  for (std::int64_t r = 0; r < b.rows; ++r) {
    const T* const z = &b.logits[r * b.width];
    const std::int32_t label = b.labels[r];
    if (label == -1) {
      ASSERT_EQ(got.losses[r], 0);
      ASSERT_EQ(got.rank[r], -1);
      for (std::int64_t c = 0; c < b.width; ++c) ASSERT_EQ(got.d[r * b.width + c], 0);
      continue;
    }
    double top = -kInf, sum = 0;
    std::int32_t before = 0;
    for (std::int64_t c = 0; c < b.width; ++c) {
      const double x = widened(z[c]), own = widened(z[label]);
      top = std::max(top, x);
      before += x > own || (x == own && c < label);
    }
    for (std::int64_t c = 0; c < b.width; ++c) sum += std::exp(widened(z[c]) - top);
    ASSERT_NEAR(got.losses[r], std::log(sum) - (widened(z[label]) - top), 1e-6) << r;
    ASSERT_EQ(got.rank[r], before) << r;
    for (std::int64_t c = 0; c < b.width; ++c) {
      const double want = std::exp(widened(z[c]) - top) / sum - (c == label);
      ASSERT_NEAR(got.d[r * b.width + c], want, tolerance * std::abs(want) + 1e-7) << r << " " << c;
    }
  }
}

struct Size {
  std::int64_t rows, width;
};
const std::vector<Size> kSizes = shapes_to_try<Size>({{1, 2},
                                                      {1, 1},
                                                      {9, 7},
                                                      {33, 10},
                                                      {8, 31},
                                                      {7, 32},
                                                      {5, 33},
                                                      {17, 128},
                                                      {3, 1000},
                                                      {3, 1023},
                                                      {2, 1024},
                                                      {3, 1025},
                                                      {2, 1031},
                                                      {2, 4096},
                                                      {2, 8192},
                                                      {2, 8193},
                                                      {2, 9000},
                                                      {1, 50257},
                                                      {1, 50304}},
                                                     {{33, 10}, {9, 33}, {2, 1025}, {2, 8193}});

TEST(CrossEntropy, is_the_softmax_less_one_hot) {
  for (const auto& [rows, width] : kSizes) {
    SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(width));
    const Batch<float> b(rows, width);
    const auto apart = run<float>(b, cross_entropy, false);
    expect_right(b, apart, 4e-6);
    const auto in_place = run<float>(b, cross_entropy, true);
    EXPECT_EQ(in_place.d, apart.d);
    EXPECT_EQ(in_place.losses, apart.losses);
    EXPECT_EQ(in_place.rank, apart.rank);
    expect_right(b, run<float>(b, cross_entropy, true, 1), 4e-6);
    if (width < 2000) expect_right(b, run<float>(b, cross_entropy_reference, true), 4e-6);
  }
}

TEST(CrossEntropy, takes_bf16_scores) {
  for (const auto& [rows, width] : kSizes) {
    if (width > 9000) continue;
    SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(width));
    const Batch<__nv_bfloat16> b(rows, width);
    expect_right(b, run<__nv_bfloat16>(b, cross_entropy, true), 0x1p-8);
    expect_right(b, run<__nv_bfloat16>(b, cross_entropy, false, 3), 0x1p-8);
  }
}

TEST(CrossEntropy, without_gradient_leaves_the_scores_alone) {
  const Batch<float> b(6, 1000);
  const DeviceArray<float> logits(b.logits);
  const DeviceArray<std::int32_t> labels(b.labels);
  const DeviceArray<double> losses(b.rows);
  cross_entropy({logits.data(), labels.data(), b.rows, b.width, nullptr, losses.data(), nullptr},
                nullptr);
  EXPECT_EQ(logits.host(), b.logits);
  EXPECT_EQ(losses.host(), run<float>(b, cross_entropy, true).losses);
}

TEST(CrossEntropy, has_the_same_bits_for_a_row_wherever_it_lies) {
  Batch<float> b(5, 1000);
  b.labels.assign(5, 3);
  for (int r = 1; r < 5; ++r) std::copy_n(b.logits.begin(), 1000, &b.logits[r * 1000]);
  const auto got = run<float>(b, cross_entropy, true);
  for (int r = 1; r < 5; ++r) {
    EXPECT_EQ(got.losses[r], got.losses[0]);
    for (int c = 0; c < 1000; ++c) ASSERT_EQ(got.d[r * 1000 + c], got.d[c]);
  }
}

TEST(CrossEntropy, knows_infinities_and_nan) {
  for (const std::int64_t width : {40, 2000, 9001}) {
    SCOPED_TRACE(width);
    Batch<float> b(6, width);
    b.labels = {1, 1, 1, 1, 0, static_cast<std::int32_t>(width)};
    const auto row = [&](int r) { return &b.logits[r * width]; };
    std::fill_n(row(0), width, -kInf);
    row(0)[1] = 2;                       // certain
    row(1)[5] = NAN;                     // spreads
    row(2)[1] = NAN;                     // never wins
    std::fill_n(row(3), width, -kInf);   // no softmax
    row(4)[0] = 5000, row(4)[7] = 4990;  // beyond exp's range
    const auto got = run<float>(b, cross_entropy, true);
    EXPECT_EQ(got.losses[0], 0);
    EXPECT_EQ(got.rank[0], 0);
    EXPECT_EQ(got.d[1], 0);
    EXPECT_EQ(got.d[0], 0);
    for (const int r : {1, 2, 3, 5}) {
      EXPECT_TRUE(std::isnan(got.losses[r])) << r;
      EXPECT_TRUE(std::isnan(got.d[r * width + width - 1])) << r;
    }
    EXPECT_GE(got.rank[1], 0);
    EXPECT_EQ(got.rank[2], std::numeric_limits<std::int32_t>::max());
    EXPECT_NEAR(got.losses[4], std::log1p(std::exp(-10.0)), 1e-6);
  }
}

TEST(CrossEntropy, adds_losses_and_hits_to_what_is_there) {
  for (const std::int64_t rows :
       shapes_to_try<std::int64_t>({1, 7, 31, 32, 33, 1000, 1023, 1024, 1025, 5003}, {33, 1025})) {
    std::mt19937 bits(2);
    Doubles losses(rows);
    Ints labels(rows), rank(rows);
    double sum = 0.5;
    std::int64_t counted = 3, hits = 5, of = 7;
    for (std::int64_t r = 0; r < rows; ++r) {
      const bool ignored = r % 4 == 2;
      labels[r] = ignored ? -1 : 6, rank[r] = ignored ? -1 : static_cast<std::int32_t>(bits() % 9);
      if (r == 0) rank[r] = std::numeric_limits<std::int32_t>::max();
      losses[r] = ignored ? 0 : static_cast<double>(bits() % 4096) / 64;  // sums are exact
      sum += losses[r], counted += !ignored, of += !ignored;
      hits += !ignored && rank[r] < 5;
    }
    const DeviceArray<double> device_losses(losses), device_sum(Doubles{0.5});
    const DeviceArray<std::int32_t> device_labels(labels), device_rank(rank);
    const DeviceArray<std::int64_t> count(std::vector<std::int64_t>{3}),
        hit(std::vector<std::int64_t>{5, 7});
    add_cross_entropy(device_losses.data(), device_labels.data(), rows, device_sum.data(),
                      count.data(), nullptr);
    add_hits(device_rank.data(), rows, 5, hit.data(), nullptr);
    EXPECT_EQ(device_sum.host()[0], sum);
    EXPECT_EQ(count.host()[0], counted);
    EXPECT_EQ(hit.host(), (std::vector<std::int64_t>{hits, of}));
  }
}

}  // namespace
}  // namespace lockstep::kernels
