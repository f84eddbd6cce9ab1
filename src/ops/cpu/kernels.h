// The table of vector loops, one per instruction set, filled by kernels_avx512.cpp,
// kernels_avx2.cpp and kernels_plain.cpp from the same *.inl sources. Ops ask kernels() at each
// call.
#pragma once
#include <cstddef>
#include <cstdint>

#include "lockstep/core/isa.h"
#include "lockstep/ops/vector.h"

namespace lockstep::ops {

// Where a fused relu's mask comes from in backward.
enum class ReluMask : std::uint8_t { kNone, kFromInput, kFromOutput };

// Batch norm's sums over a block of rows are taken in fp32 and leave it as doubles.
constexpr std::int64_t kBatchNormBlockRows = 128;

// A pass of batch norm over rows * period + rest elements; what it does not use is null.
struct BatchNormPass {
  std::int64_t rows = 0, period = 0, rest = 0;
  const float* x = nullptr;
  // [period] each: y = (x - mean) scale + shift, dx = by_dz dz + by_x (x - mean) + constant.
  const float *mean = nullptr, *scale = nullptr, *shift = nullptr;
  const float *by_dz = nullptr, *by_x = nullptr, *constant = nullptr;
  const float* residual = nullptr;
  float* y = nullptr;
  bool relu = false;
  ReluMask mask = ReluMask::kNone;
  const float *output = nullptr, *dy = nullptr;
  float *d_residual = nullptr, *dx = nullptr;
};

// Column sums of a row norm's backward, channels rounded up to 16: of the band of 32 rows at work
// in fp32, of whole bands in double. The parameters' gradients are band + total.
struct RowNormSums {
  double *total_gain = nullptr, *total_bias = nullptr;
  float *gain = nullptr, *bias = nullptr;
};

// Layer or RMS norm over [rows, channels]. saved: mean, rstd, offset of each row, or rstd alone.
struct RowNormPass {
  std::int64_t rows = 0, channels = 0;
  float epsilon = 0;
  const float *x = nullptr, *gain = nullptr, *bias = nullptr;
  float *y = nullptr, *saved = nullptr;
  // Backward: dx (null: not wanted) is written, or added to; the sums are added to. first_row: rows
  // of earlier passes into the same sums.
  const float* dy = nullptr;
  float* dx = nullptr;
  bool accumulate = false;
  std::int64_t first_row = 0;
  RowNormSums sums;
};

// The Philox stream of a dropout: the counter of its first element's block, whose first word is a
// multiple of 16 and does not wrap within the call.
struct DropoutStream {
  std::uint32_t counter[4];
  std::uint64_t key;
  std::uint32_t threshold;
  float scale;
};

struct Kernels {
  // lockstep/ops/vector.h
  void (*add)(float* dst, const float* a, const float* b, std::int64_t n);
  double (*sum_of_squares)(const float* x, std::int64_t n);
  void (*round_to_bf16)(float* dst, const float* x, std::int64_t n);
  void (*scale)(float* x, float factor, std::int64_t n);
  void (*axpy)(float* p, const float* x, float factor, std::int64_t n);
  void (*sgd)(float* p, float* buffer, const float* g, std::int64_t n, const SgdStep& s);
  void (*adam)(float* p, float* m, float* v, const float* g, std::int64_t n, const AdamStep& s);
  void (*lamb_direction)(float* update, const float* p, float* m, float* v, const float* g,
                         std::int64_t n, const AdamStep& s);

  // y = f(x); y may be x. Bounds on their errors: tests/ops/simd_math_test.cpp.
  using Map = void (*)(float* y, const float* x, std::int64_t n);
  Map exp, log, tanh, sigmoid;

  // Joins rows [before, before + rows) to the mean and the sum of squared deviations of each of
  // `period` columns, which are those of the first `before` rows, whole blocks. x: the new rows.
  void (*column_statistics)(const float* x, std::int64_t before, std::int64_t rows,
                            std::int64_t period, double* mean, double* squares);
  void (*normalise)(const BatchNormPass& pass);
  // Adds to the sums; writes d_residual too where it is not null.
  void (*gradient_sums)(const BatchNormPass& pass, double* sum_dz, double* sum_dz_x);
  void (*input_gradient)(const BatchNormPass& pass);

  void (*layer_norm_forward)(const RowNormPass& pass);
  void (*layer_norm_backward)(const RowNormPass& pass);
  void (*rms_norm_forward)(const RowNormPass& pass);
  void (*rms_norm_backward)(const RowNormPass& pass);

  // Indexed by Activation; kNone is null. backward reads the output (relu, leaky relu, tanh,
  // sigmoid) or the input (gelu, gelu_tanh, silu) from `from`.
  struct ActivationLoops {
    void (*forward)(float* y, const float* x, std::int64_t n, float slope);
    void (*backward)(float* dx, const float* dy, const float* from, std::int64_t n, float slope);
  };
  ActivationLoops activation[8];
  void (*add_relu)(float* dst, const float* a, const float* b, std::int64_t n);
  void (*dropout)(float* y, const float* x, std::int64_t n, const DropoutStream& stream);

  // x, dx [rows, 2 width]: gate, then up; y, dy [rows, width].
  void (*swiglu_forward)(float* y, const float* x, std::int64_t rows, std::int64_t width);
  void (*swiglu_backward)(float* dx, const float* dy, const float* x, std::int64_t rows,
                          std::int64_t width);

  // terms[i] = exp(z[i] - largest), and their sum. terms may be z, or null: not wanted. largest
  // leaves NaN out, the sum does not.
  double (*softmax_terms)(float* terms, const float* z, std::int64_t n, float* largest);
  // How many of n come before z[i]: greater ones, and equal ones of a lower index. z[i] is no NaN.
  std::int64_t (*rank_of)(const float* z, std::int64_t n, std::int64_t i);
  // sums[c] += sum over rows of x [rows, columns], in bands of 32 rows in fp32 from the first one.
  // sums: columns rounded up to 16.
  void (*add_columns)(double* sums, const float* x, std::int64_t rows, std::int64_t columns);
};

const Kernels& kernels();         // of the ISA in force, or of the UseIsa that lives
const Kernels& kernels(Isa isa);  // the caller knows that the machine has it

// Tests run every table that the machine can: while one lives, kernels() answers for its ISA.
class UseIsa {
 public:
  explicit UseIsa(Isa isa);
  ~UseIsa();
  UseIsa(const UseIsa&) = delete;
  UseIsa& operator=(const UseIsa&) = delete;

 private:
  const Kernels* previous_;
};

}  // namespace lockstep::ops
