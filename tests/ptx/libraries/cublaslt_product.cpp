// Sums run over k one by one, in fp32.
#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/ptx/libraries/cublaslt.h"
#include "tests/ptx/libraries/floats.h"

namespace lockstep::stand_in {
namespace {

float element(const void* matrix, std::uint32_t type, std::uint64_t at) {
  return type == CUDA_R_16BF ? from_bf16(static_cast<const std::uint16_t*>(matrix)[at])
                             : static_cast<const float*>(matrix)[at];
}

// The columns of op(matrix), packed one after the other.
std::vector<float> columns_of(const void* matrix, const Layout& layout, bool transposed) {
  const std::uint64_t columns = transposed ? layout.rows : layout.columns;
  const std::uint64_t rows = transposed ? layout.columns : layout.rows;
  std::vector<float> all(columns * rows);
  for (std::uint64_t c = 0; c < columns; ++c)
    for (std::uint64_t r = 0; r < rows; ++r) {
      const std::uint64_t at = transposed ? r * layout.step + c : c * layout.step + r;
      all[c * rows + r] = element(matrix, layout.type, at);
    }
  return all;
}

float gelu_tanh(float x) {
  return 0.5f * x * (1 + std::tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
}

float finish(const Operation& operation, float x, std::uint64_t row, std::uint64_t column) {
  if (operation.epilogue & CUBLASLT_EPILOGUE_BIAS)
    x += static_cast<const float*>(operation.bias)[row];
  if (operation.epilogue & CUBLASLT_EPILOGUE_RELU) return std::isnan(x) || x > 0 ? x : 0;
  if (!(operation.epilogue & CUBLASLT_EPILOGUE_GELU)) return x;
  if (operation.epilogue & 128)
    static_cast<float*>(operation.aux)[column * operation.aux_step + row] = x;
  return gelu_tanh(x);
}

}  // namespace

void compute(const MatrixProduct& p) {
  const std::uint64_t m = p.d_layout.rows, n = p.d_layout.columns;
  const std::uint64_t k = p.operation.transposed_a ? p.a_layout.rows : p.a_layout.columns;
  const std::vector<float> a = columns_of(p.a, p.a_layout, p.operation.transposed_a);  // k of m
  const std::vector<float> b = columns_of(p.b, p.b_layout, p.operation.transposed_b);  // n of k
  std::vector<float> sums(m);
  for (std::uint64_t column = 0; column < n; ++column) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (std::uint64_t step = 0; step < k; ++step) {
      const std::uint64_t i = p.backwards ? k - 1 - step : step;
      const float factor = b[column * k + i];
      const float* const row = a.data() + i * m;
      for (std::uint64_t j = 0; j < m; ++j) sums[j] += row[j] * factor;
    }
    for (std::uint64_t row = 0; row < m; ++row) {
      float x = p.alpha * sums[row];
      if (p.beta != 0) x += p.beta * element(p.c, p.c_layout.type, column * p.c_layout.step + row);
      x = finish(p.operation, x, row, column);
      const std::uint64_t at = column * p.d_layout.step + row;
      if (p.d_layout.type == CUDA_R_16BF)
        static_cast<std::uint16_t*>(p.d)[at] = to_bf16(x);
      else
        static_cast<float*>(p.d)[at] = x;
    }
  }
}

}  // namespace lockstep::stand_in
