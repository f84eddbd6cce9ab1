// Embedding: rows of a table by number. Forward moves 8 bytes an element; backward writes the whole
// table's gradient once (or finds it there, from a tied layer) and adds 12 bytes an element.
#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/ops/op.h"
#include "ops/cost.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/make.h"

namespace lockstep::ops {
namespace {

class CpuEmbedding : public Op {
 public:
  explicit CpuEmbedding(const Embedding& d) : d_(d) {
    LOCKSTEP_CHECK(d.rows > 0 && d.vocabulary > 0 && d.width > 0, "embedding of {} x {} for {}",
                   d.vocabulary, d.width, d.rows);
  }

  std::string_view kind() const override { return "embedding"; }

  void forward(const Args& args) const override {
    const std::size_t bytes = sizeof(float) * d_.width;
    for (std::int64_t row = 0; row < d_.rows; ++row) {
      std::memcpy(args.output + row * d_.width, args.parameters[0] + place(args, row), bytes);
    }
  }

  // Rows in order, whatever their numbers: a token that comes twice is added twice, first to last.
  void backward(const Args& args) const override {
    float* const d_table = args.d_parameters[0];
    const std::size_t bytes = sizeof(float) * d_.vocabulary * d_.width;
    if (args.carried == nullptr) {
      std::memset(d_table, 0, bytes);
    } else if (args.carried != d_table) {
      std::memcpy(d_table, args.carried, bytes);
    }
    const auto add = kernels().add;
    for (std::int64_t row = 0; row < d_.rows; ++row) {
      float* const to = d_table + place(args, row);
      add(to, to, args.d_output + row * d_.width, d_.width);
    }
  }

  Cost cost() const override { return cost_of(d_); }

 private:
  // Of a row's token in the table.
  std::int64_t place(const Args& args, std::int64_t row) const {
    std::int32_t id;
    std::memcpy(&id, args.inputs[0] + row, sizeof id);
    LOCKSTEP_CHECK(id >= 0 && id < d_.vocabulary, "token {} of row {} is outside [0, {})", id, row,
                   d_.vocabulary);
    return id * d_.width;
  }

  Embedding d_;
};

}  // namespace

std::unique_ptr<Op> make_cpu(const Embedding& d) {
  return std::make_unique<CpuEmbedding>(d);
}

}  // namespace lockstep::ops
