// How a product is cut into blocks that stay in the caches, after Goto & van de Geijn 2008: B is
// packed into panels (W once a step, or part by part here), A into strips where it must be, and the
// tiles of C are computed by the loops of gemm_kernels.h.
#include "ops/cpu/gemm.h"

#include <algorithm>
#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/core/isa.h"
#include "ops/cpu/dropout_stream.h"
#include "ops/cpu/gemm_kernels.h"

namespace lockstep::ops {

extern const GemmKernels kGemmPlain, kGemmPlainBf16, kGemmAvx2, kGemmAvx2Bf16, kGemmAvx512,
    kGemmAvx512Bf16, kGemmAvx512OwnBf16;

namespace {

// Words of a block. Measured at 192 / 384 / 512 / 768, 2048 rows, 384 to 1536, percent of the peak:
// forward 90 / 94 / 94 / 94, gradient of W 81 / 83 / 84 / 84. C is read and written less often,
// which is worth more than a panel of B in L1 (36 KiB at 192).
constexpr std::int64_t kDepth = 512;
constexpr std::int64_t kRows = 264;     // of A's part in L2, whole strips in every form
constexpr std::int64_t kColumns = 480;  // of B's part, whole panels in every form
constexpr std::int64_t kWeightRows = 144, kWeightColumns = 1008;
constexpr std::int64_t kPackedB = 4 << 20;  // bytes of B's part, in L3
constexpr std::int64_t kManyRows = 512;     // from there W is packed again in each data gradient
constexpr std::int64_t kLine = 16;          // words

constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) { return divide_up(a, b) * b; }

const GemmKernels& find_kernels(Precision precision) {
  const bool fp32 = precision == Precision::kFp32;
  switch (isa()) {
    case Isa::kAvx512:
      return fp32 ? kGemmAvx512 : has_bf16_arithmetic() ? kGemmAvx512OwnBf16 : kGemmAvx512Bf16;
    case Isa::kAvx2:
      return fp32 ? kGemmAvx2 : kGemmAvx2Bf16;
    case Isa::kPlain:
      break;
  }
  return fp32 ? kGemmPlain : kGemmPlainBf16;
}

// Nearly equal parts of at most `most`, all but the last multiples of `step`.
std::int64_t equal_parts(std::int64_t whole, std::int64_t most, std::int64_t step) {
  return round_up(divide_up(whole, divide_up(whole, most)), step);
}

TileEnd tile_end(const GemmEpilogue& e, std::int64_t elements) {
  TileEnd end{e.bias, e.before, e.residual, static_cast<int>(e.activation), e.dropout > 0, {}, 0};
  if (end.drop) end.stream = dropout_stream(e.random, e.dropout, e.first_element + elements);
  end.first_element = e.first_element;
  return end;
}

bool ends(const GemmEpilogue& e) {
  return e.bias != nullptr || e.before != nullptr || e.residual != nullptr || e.dropout > 0 ||
         e.activation != Activation::kNone;
}

}  // namespace

bool has_bf16_arithmetic() {
  return isa() == Isa::kAvx512 && __builtin_cpu_supports("avx512bf16") != 0;
}

Gemm::Gemm(Form form, std::int64_t rows, std::int64_t in, std::int64_t out, Precision precision)
    : form_(form),
      rows_(rows),
      in_(in),
      out_(out),
      precision_(precision),
      kernels_(&find_kernels(precision)) {
  LOCKSTEP_CHECK(rows > 0 && in > 0 && out > 0, "product of {} rows, {} to {}", rows, in, out);
}

std::string Gemm::implementation() const { return kernels_->name; }

Gemm::Cut Gemm::cut(std::int64_t rows_now) const {
  const std::int64_t rows = rows_now < 0 ? rows_ : rows_now;
  Cut c{};
  if (form_ == Form::kForward) c = {rows, out_, in_};
  if (form_ == Form::kData) c = {rows, in_, out_};
  if (form_ == Form::kWeights) c = {out_, in_, rows};
  if (rows == 0) return c;
  const std::int64_t numbers = kernels_->numbers;
  // The depth of a block decides in what order products are added: a function of k alone.
  c.depth = equal_parts(c.k, kDepth * numbers, 8 * numbers);
  const bool weights = form_ == Form::kWeights;
  c.rows = equal_parts(c.m, weights ? kWeightRows : kRows, kernels_->strip);
  c.columns = equal_parts(c.n, weights ? kWeightColumns : kColumns, kernels_->panel);
  const std::int64_t columns = std::min(c.columns, round_up(c.n, kLine));
  const std::int64_t block_bytes = 4 * columns * c.depth / numbers;
  c.deep_depth = std::max(kPackedB / block_bytes, std::int64_t{1}) * c.depth;
  return c;
}

bool Gemm::packed_before() const {
  return form_ == Form::kForward || (form_ == Form::kData && rows_ < kManyRows);
}

std::size_t Gemm::packed_bytes() const {
  if (!packed_before()) return 0;
  const Cut c = cut(-1);
  return 4 * round_up(c.n, kLine) * divide_up(c.k, kernels_->numbers);
}

void Gemm::pack(const float* w, void* packed) const {
  if (!packed_before()) return;
  auto* const panels = static_cast<float*>(packed);
  if (form_ == Form::kForward) {
    kernels_->pack_transposed(panels, divide_up(in_, kernels_->numbers), w, in_, out_, in_);
  } else {
    kernels_->pack_panels(panels, divide_up(out_, kernels_->numbers), w, in_, in_, out_);
  }
}

// Fewer rows than planned may be cut into larger parts, so these hold any.
std::size_t Gemm::packed_a_bytes() const {
  if (form_ != Form::kWeights && precision_ == Precision::kFp32) return 0;
  const std::int64_t rows = form_ == Form::kWeights ? out_ : rows_;
  return 4 * round_up(std::min(rows, kRows), 24) * (kDepth + kLine);
}

std::size_t Gemm::packed_b_bytes() const {
  if (packed_before()) return 0;
  const std::int64_t words =
      divide_up(form_ == Form::kWeights ? rows_ : out_, kernels_->numbers);
  const std::int64_t most = form_ == Form::kWeights ? kWeightColumns : kColumns;
  const std::int64_t columns = std::min(most, round_up(in_, kLine));
  return 4 * std::min(columns * words, std::max(kPackedB / 4, columns * kDepth));
}

std::size_t Gemm::workspace_bytes() const { return packed_a_bytes() + packed_b_bytes(); }

// Packs the block's part of A, unless it can be read where it lies.
void Gemm::place_a(GemmBlock& block, const Cut& cut, const float* a, std::int64_t k,
                   std::int64_t depth, float* packed) const {
  const std::int64_t strip = kernels_->strip;
  block.a = packed;
  block.a_depth = 1;
  if (form_ == Form::kWeights) {
    kernels_->pack_strips(packed, a + k * cut.m + block.row, cut.m, block.rows, depth);
    block.a_row = 1;
    block.a_depth = strip;
    block.a_strip = strip * block.depth;
    return;
  }
  const float* const from = a + block.row * cut.k + k;
  if (kernels_->numbers == 1) {
    block.a = from;
    block.a_row = cut.k;
  } else {
    block.a_row = round_up(block.depth, kLine) + kLine;  // rows never a multiple of 4096 apart
    kernels_->pack_rows(packed, block.a_row, from, cut.k, block.rows, depth);
  }
  block.a_strip = strip * block.a_row;
}

void Gemm::run(const float* a, const void* b, float* c, bool accumulate,
               const GemmEpilogue& epilogue, void* workspace, std::int64_t rows_now) const {
  LOCKSTEP_CHECK(rows_now <= rows_, "{} rows of {}", rows_now, rows_);
  LOCKSTEP_CHECK(!ends(epilogue) || (form_ == Form::kForward && !accumulate));
  const Cut cut = this->cut(rows_now);
  if (cut.m == 0) return;
  if (cut.k == 0) {
    if (!accumulate) std::memset(c, 0, sizeof(float) * cut.m * cut.n);
    return;
  }
  const std::int64_t numbers = kernels_->numbers;
  auto* const packed_a = static_cast<float*>(workspace);
  float* const packed_b = packed_a + packed_a_bytes() / sizeof(float);
  const auto* const b_floats = static_cast<const float*>(b);
  const TileEnd end = tile_end(epilogue, cut.m * cut.n);
  const std::int64_t deep = packed_before() ? cut.k : cut.deep_depth;

  GemmBlock block{};
  block.c = c;
  block.c_row = cut.n;
  for (block.column = 0; block.column < cut.n; block.column += cut.columns) {
    block.columns = std::min(cut.columns, cut.n - block.column);
    for (std::int64_t deep_begin = 0; deep_begin < cut.k; deep_begin += deep) {
      const std::int64_t deep_end = std::min(deep_begin + deep, cut.k);
      const std::int64_t panel_words = divide_up(deep_end - deep_begin, numbers);
      if (!packed_before()) {
        kernels_->pack_panels(packed_b, panel_words, b_floats + deep_begin * cut.n + block.column,
                              cut.n, block.columns, deep_end - deep_begin);
      }
      block.b = packed_before() ? b_floats + block.column * panel_words : packed_b;
      block.b_panel = kernels_->panel * panel_words;
      for (block.row = 0; block.row < cut.m; block.row += cut.rows) {
        block.rows = std::min(cut.rows, cut.m - block.row);
        for (std::int64_t k = deep_begin; k < deep_end; k += cut.depth) {
          const std::int64_t depth = std::min(cut.depth, deep_end - k);
          block.depth = divide_up(depth, numbers);
          block.b_first = (k - deep_begin) / numbers;
          block.next_b = next_panel(block, cut, panel_words);
          block.add = accumulate || k > 0;
          block.end = k + depth == cut.k && ends(epilogue) ? &end : nullptr;
          place_a(block, cut, a, k, depth, packed_a);
          kernels_->multiply(block);
        }
      }
    }
  }
}

// What is read of B after the block's last panel: deeper in the first panel, its beginning again
// for the next rows, or the next columns.
const float* Gemm::next_panel(const GemmBlock& block, const Cut& cut,
                              std::int64_t panel_words) const {
  const std::int64_t next = block.b_first + block.depth;
  const std::int64_t width = std::min<std::int64_t>(kernels_->panel, round_up(cut.n, kLine));
  if (next < panel_words) return block.b + next * width;
  if (block.row + block.rows < cut.m) return block.b;
  const bool more = packed_before() && block.column + block.columns < cut.n;
  return more ? block.b + block.columns * panel_words : nullptr;
}

}  // namespace lockstep::ops
