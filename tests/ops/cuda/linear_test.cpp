// Linear on the cuda device against the cpu device, and the recorded algorithms.
#include "lockstep/core/error.h"
#include "lockstep/ops/algorithms.h"
#include "ops/cuda/on_device.h"
#include "ops/numbers.h"

namespace lockstep::ops {
namespace {

struct Size {
  std::int64_t rows, in, out;
};
// At the edges of 16-byte accesses, of tiles, and where cuBLASLt's aligned algorithms do not fit.
constexpr Size kSizes[] = {{1, 1, 1}, {7, 31, 5}, {33, 32, 7}, {16, 24, 64}, {65, 40, 16}};

Linear linear(const Size& s) { return {.rows = s.rows, .in = s.in, .out = s.out}; }

OpCase case_of(const Linear& d) {
  OpCase c;
  c.inputs = {uniform(d.rows * d.in, 1)};
  if (d.residual) c.inputs.push_back(uniform(d.rows * d.out, 5));
  c.parameters = {uniform(d.out * d.in, 2)};
  if (d.bias) c.parameters.push_back(uniform(d.out, 3));
  c.outputs = d.rows * d.out;
  c.d_output = uniform(d.rows * d.out, 4);
  c.random = {.seed = 11, .step = 3, .lane_micro = 2, .op = 6};
  return c;
}

// Sums of up to 65 terms below 1 in magnitude. bf16: both devices round the same factors, but a
// gradient that falls on the other side of a rounding takes 2^-9 of a term with it.
constexpr double kFp32 = 2e-6, kBf16 = 4e-3;

void check(const Linear& d, const char* what) {
  const double tolerance = d.precision == Precision::kBf16 ? kBf16 : kFp32;
  SCOPED_TRACE(testing::Message() << d.rows << " x " << d.in << " x " << d.out);
  OpCase c = case_of(d);
  expect_cuda_as_cpu(d, c, tolerance, what);
  c.mode = Mode::kEvaluate;
  c.d_output.clear();
  expect_cuda_as_cpu(d, c, tolerance, what);
}

TEST(CudaLinear, agrees_with_the_cpu_for_every_activation) {
  for (const Size& s : kSizes)
    for (const Activation a : {Activation::kNone, Activation::kRelu, Activation::kGelu,
                               Activation::kGeluTanh, Activation::kSilu})
      for (const Precision p : {Precision::kFp32, Precision::kBf16}) {
        Linear d = linear(s);
        d.activation = a, d.precision = p;
        check(d, name_of(a).data());
      }
}

TEST(CudaLinear, agrees_without_bias_with_dropout_and_residual) {
  for (const Precision p : {Precision::kFp32, Precision::kBf16})
    for (const Activation a : {Activation::kNone, Activation::kRelu, Activation::kGeluTanh})
      for (int options = 0; options < 8; ++options) {
        Linear d = linear({33, 16, 24});
        d.activation = a, d.precision = p;
        d.bias = options & 1, d.residual = options & 2, d.dropout = options & 4 ? 0.3f : 0;
        check(d, "options");
      }
}

TEST(CudaLinear, runs_captured_and_without_gradients_that_nobody_needs) {
  Linear d = linear({33, 16, 24});
  d.residual = true, d.precision = Precision::kBf16, d.activation = Activation::kGelu;
  OpCase c = case_of(d);
  c.captured = true;
  expect_cuda_as_cpu(d, c, kBf16, "captured");
  c.in_place = true;  // the gradient of the residual is d_output
  expect_cuda_as_cpu(d, c, kBf16, "in place");
  d.need_d_input = false;
  c.wanted = {false, true};
  expect_cuda_as_cpu(d, c, kBf16, "first layer");
}

TEST(CudaLinear, gives_the_same_bits_again) {
  const Linear d = linear({65, 40, 16});
  const OpCase c = case_of(d);
  const OpResult first = run_on(cuda_device(), d, c), second = run_on(cuda_device(), d, c);
  expect_agree(first, second, 0, "again");
}

TEST(CudaLinear, runs_our_own_kernel_where_the_library_has_no_algorithm) {
  Linear d = linear({33, 16, 24});
  d.precision = Precision::kBf16, d.activation = Activation::kRelu;
  const std::string before = algorithms().to_text();
  algorithms().clear();
  const auto library = make(cuda_device(), d);
  std::string none;  // every problem of this op, with no algorithm
  const std::string text = algorithms().to_text();
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1)
    none += text.substr(at, text.find(" = ", at) - at) + " = none\n";
  algorithms().from_text(none);
  EXPECT_EQ(make(cuda_device(), d)->implementations()[0], "gemm_bf16");
  EXPECT_NE(library->implementations()[0], "gemm_bf16");
  check(d, "own kernel");
  d.activation = Activation::kNone, d.residual = true, d.bias = false;
  check(d, "own kernel, residual");
  algorithms().from_text(before);
}

TEST(CudaLinear, takes_recorded_algorithms_and_refuses_those_of_others) {
  const Linear d = linear({16, 24, 64});
  const std::string before = algorithms().to_text();
  algorithms().clear();
  make(cuda_device(), d);
  const std::string chosen = algorithms().to_text();
  EXPECT_NE(chosen.find("cublasLt forward 16 x 24 x 64 fp32 bias = "), chosen.npos) << chosen;
  algorithms().from_text(chosen);
  expect_cuda_as_cpu(d, case_of(d), kFp32, "recorded");
  EXPECT_EQ(algorithms().to_text(), chosen);

  const auto expect_refused = [&](std::string text, const std::string& from, const std::string& to,
                                  const std::string& sentence) {
    text.replace(text.find(from), from.size(), to);
    algorithms().from_text(text);
    try {
      make(cuda_device(), d);
      ADD_FAILURE() << "taken: " << text;
    } catch (const UserError& error) {
      EXPECT_NE(std::string(error.what()).find(sentence), std::string::npos) << error.what();
    }
  };
  expect_refused(chosen, "bias = 1", "bias = 9", "is of cuBLASLt 9");
  const std::size_t digits = chosen.find("bias = ") + 14;
  expect_refused(chosen, chosen.substr(digits, 32), std::string(32, '0'), "does not run on");
  algorithms().from_text(before);
}

}  // namespace
}  // namespace lockstep::ops
