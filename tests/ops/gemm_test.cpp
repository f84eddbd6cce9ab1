// The matrix products against loops in double, and what they promise about bits: a row's result is
// the same among any number of rows. All tests run again on lower instruction sets.
#include "ops/cpu/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "ops/children.h"
#include "ops/dense_support.h"
#include "ops/reference.h"

namespace lockstep::ops {
namespace {

using Form = Gemm::Form;

struct Size {
  std::int64_t rows, in, out;
};
// Each dimension at the edges of vectors, tiles and blocks; not their full product.
constexpr Size kSizes[] = {{1, 1, 1},      {7, 1, 31},     {31, 7, 1},      {32, 33, 31},
                           {33, 32, 7},    {1, 257, 100},  {100, 129, 33},  {129, 31, 257},
                           {257, 100, 32}, {7, 600, 129},  {600, 7, 48},    {9, 48, 1100},
                           {300, 257, 49}, {2, 1030, 16},  {513, 33, 64},   {265, 3, 531}};

float rounded(float x, Precision precision) {  // to bf16: nearest, ties to even
  if (precision == Precision::kFp32) return x;
  const auto nearest = static_cast<double>(x);
  int exponent = 0;
  const double mantissa = std::frexp(nearest, &exponent);  // [0.5, 1): 8 bits remain
  return static_cast<float>(std::ldexp(std::nearbyint(std::ldexp(mantissa, 8)), exponent - 8));
}

// The factors of one product, and its result and the sum of its terms' magnitudes in double.
struct Product {
  std::int64_t m, n, k;
  std::function<float(std::int64_t, std::int64_t)> a, b;  // a(i, l), b(l, j)
};

struct Factors {
  Values x, w, dy;
};

Factors factors_of(const Size& s) {
  return {random_values(s.rows * s.in, 1), random_values(s.out * s.in, 2),
          random_values(s.rows * s.out, 3)};
}

Product product_of(Form form, const Size& s, const Factors& f) {
  const auto x = [&f, s](std::int64_t r, std::int64_t i) { return f.x[r * s.in + i]; };
  const auto w = [&f, s](std::int64_t o, std::int64_t i) { return f.w[o * s.in + i]; };
  const auto dy = [&f, s](std::int64_t r, std::int64_t o) { return f.dy[r * s.out + o]; };
  const auto turned = [](auto of) {
    return [of](std::int64_t i, std::int64_t j) { return of(j, i); };
  };
  if (form == Form::kForward) return {s.rows, s.out, s.in, x, turned(w)};
  if (form == Form::kData) return {s.rows, s.in, s.out, dy, w};
  return {s.out, s.in, s.rows, turned(dy), x};
}

// Runs one product; c holds `c` before.
Values run_product(const Gemm& gemm, Form form, const Factors& f, Values c, bool accumulate,
                   const GemmEpilogue& epilogue = {}, std::int64_t rows_now = -1) {
  const Lines packed(gemm.packed_bytes()), workspace(gemm.workspace_bytes());
  const Lines x(f.x, 4), w(f.w, 4), dy(f.dy, 4), result(c, 4);
  gemm.pack(w.floats(), packed.data());
  const float* const a = form == Form::kForward ? x.floats() : dy.floats();
  const void* b = form == Form::kWeights ? x.data() : w.data();
  if (gemm.packed_bytes() > 0) b = packed.data();
  gemm.run(a, b, result.floats(), accumulate, epilogue, workspace.data(), rows_now);
  return result.values();
}

void check(Form form, const Size& s, Precision precision, bool accumulate) {
  SCOPED_TRACE(testing::Message() << "form " << static_cast<int>(form) << ", " << s.rows << " x "
                                  << s.in << " -> " << s.out << ", " << name_of(precision)
                                  << (accumulate ? ", added" : ""));
  const Factors f = factors_of(s);
  const Product p = product_of(form, s, f);
  const Values before = accumulate ? random_values(p.m * p.n, 4) : Values(p.m * p.n, NAN);
  const Gemm gemm(form, s.rows, s.in, s.out, precision);
  const Values c = run_product(gemm, form, f, before, accumulate);
  int wrong = 0;
  const std::int64_t step = p.m * p.n > 2000 ? 13 : 1;  // coprime to the tiles
  for (std::int64_t e = 0; e < p.m * p.n; e += step) {
    const std::int64_t i = e / p.n, j = e % p.n;
    double want = accumulate ? before[e] : 0, magnitude = std::abs(want);
    for (std::int64_t l = 0; l < p.k; ++l) {
      const double term = double{rounded(p.a(i, l), precision)} * rounded(p.b(l, j), precision);
      want += term;
      magnitude += std::abs(term);
    }
    if (!(std::abs(c[e] - want) <= tolerance(magnitude, p.k + 1)) && ++wrong < 4) {
      ADD_FAILURE() << "(" << i << ", " << j << "): " << c[e] << " is not " << want;
    }
  }
  EXPECT_EQ(wrong, 0);
}

TEST(Gemm, matches_double_loops_over_edge_sizes) {
  for (const Size& s : kSizes) {
    for (const Form form : {Form::kForward, Form::kData, Form::kWeights}) {
      for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
        check(form, s, precision, false);
        check(form, s, precision, true);
      }
    }
  }
}

// Rows of 600 together, alone and a few at a time, through plans of their own and through one plan.
TEST(Gemm, gives_a_row_the_same_bits_among_any_number_of_rows) {
  const Size s{600, 530, 113};
  const Factors f = factors_of(s);
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    for (const Form form : {Form::kForward, Form::kData}) {
      const std::int64_t width = form == Form::kForward ? s.out : s.in;
      const Gemm plan(form, s.rows, s.in, s.out, precision);
      const Values all = run_product(plan, form, f, Values(s.rows * width, NAN), false);
      for (const std::int64_t rows : {1, 2, 3, 7, 8, 9, 31, 257}) {
        SCOPED_TRACE(rows);
        const std::int64_t first = 601 % rows + 5;
        Factors part = f;
        part.x.assign(f.x.begin() + first * s.in, f.x.begin() + (first + rows) * s.in);
        part.dy.assign(f.dy.begin() + first * s.out, f.dy.begin() + (first + rows) * s.out);
        const Values want(all.begin() + first * width, all.begin() + (first + rows) * width);
        const Values none(rows * width, NAN);
        const Gemm few(form, rows, s.in, s.out, precision);
        EXPECT_EQ(run_product(few, form, part, none, false), want);
        EXPECT_EQ(run_product(plan, form, part, none, false, {}, rows), want);
      }
    }
  }
}

TEST(Gemm, weights_gradient_of_fewer_rows_than_planned_sums_those) {
  const Size s{300, 65, 33}, few{77, 65, 33};
  const Factors f = factors_of(few);
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    const Gemm plan(Form::kWeights, s.rows, s.in, s.out, precision);
    const Gemm exact(Form::kWeights, few.rows, s.in, s.out, precision);
    const Values none(s.in * s.out, NAN);
    EXPECT_EQ(run_product(plan, Form::kWeights, f, none, false, {}, few.rows),
              run_product(exact, Form::kWeights, f, none, false));
    const Values nothing = run_product(plan, Form::kWeights, f, none, false, {}, 0);
    EXPECT_EQ(nothing, Values(s.in * s.out, 0.0f));
    const Values kept = random_values(s.in * s.out, 9);
    EXPECT_EQ(run_product(plan, Form::kWeights, f, kept, true, {}, 0), kept);
  }
}

// The product itself is tested above: here it is taken from a run without an end.
TEST(Gemm, ends_tiles_with_bias_activation_dropout_and_residual) {
  for (const Size& s : {Size{9, 33, 113}, Size{33, 300, 49}, Size{2, 5, 3}}) {
    const Factors f = factors_of(s);
    const Values bias = random_values(s.out, 5), residual = random_values(s.rows * s.out, 6);
    const Values none(s.rows * s.out, NAN);
    const Gemm gemm(Form::kForward, s.rows, s.in, s.out, Precision::kFp32);
    const Values plain = run_product(gemm, Form::kForward, f, none, false);
    const RandomKey random{.seed = 11, .step = 3, .lane_micro = 2, .op = 5};
    for (const Activation a : {Activation::kNone, Activation::kRelu, Activation::kGelu,
                               Activation::kGeluTanh, Activation::kSilu}) {
      for (int options = 0; options < 16; ++options) {
        SCOPED_TRACE(testing::Message() << name_of(a) << " " << options << " width " << s.out);
        const Lines before(options & 8 ? none.size() * sizeof(float) : 0, 4);
        GemmEpilogue end;
        if (options & 1) end.bias = bias.data();
        if (options & 2) end.residual = residual.data();
        if (options & 4) end.dropout = 0.3f;
        if (options & 8) end.before = before.floats();
        end.activation = a;
        end.random = random;
        end.first_element = 3 * s.out;
        const Values y = run_product(gemm, Form::kForward, f, none, false, end);
        for (std::int64_t e = 0; e < s.rows * s.out; ++e) {
          const float z = plain[e] + (options & 1 ? bias[e % s.out] : 0);
          if (options & 8) {
            ASSERT_EQ(before.floats()[e], z);
          }
          double want = activated(a, z);
          const bool kept = random.word(3 * s.out + e) >= std::ceil(double{0.3f} * 0x1p32);
          if (options & 4) want *= kept ? 1 / (1 - 0.3f) : 0;
          if (options & 2) want += residual[e];
          ASSERT_NEAR(y[e], want, 2e-6 * (1 + std::abs(want))) << e;
        }
      }
    }
  }
}

TEST(Gemm, shows_nan_and_infinity) {
  const Size s{20, 70, 50};
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                            std::numeric_limits<float>::infinity()}) {
      Factors f = factors_of(s);
      f.x[3 * s.in + 69] = bad;
      const Gemm forward(Form::kForward, s.rows, s.in, s.out, precision);
      GemmEpilogue relu;
      relu.activation = Activation::kRelu;
      const Values y =
          run_product(forward, Form::kForward, f, Values(s.rows * s.out, 0), false, relu);
      for (std::int64_t e = 0; e < s.rows * s.out; ++e) {
        const bool hit = e / s.out == 3;
        // relu makes 0 of -infinity.
        const bool shown = std::isnan(bad) ? std::isnan(y[e]) : std::isinf(y[e]) || y[e] == 0;
        ASSERT_TRUE(hit ? shown : std::isfinite(y[e])) << e;
      }
      const Gemm weights(Form::kWeights, s.rows, s.in, s.out, precision);
      const Values dw = run_product(weights, Form::kWeights, f, Values(s.out * s.in, 0), false);
      for (std::int64_t e = 0; e < s.out * s.in; ++e) {
        ASSERT_EQ(std::isfinite(dw[e]), e % s.in != 69) << e;
      }
    }
  }
}

TEST(Gemm, is_right_on_every_instruction_set) {
  expect_to_pass_when_capped("Gemm.is_right_on_every_instruction_set");
}

}  // namespace
}  // namespace lockstep::ops
