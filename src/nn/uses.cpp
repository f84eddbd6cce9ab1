#include "nn/uses.h"

#include <algorithm>

namespace lockstep::nn {
namespace {

// Whole cache lines for each op.
constexpr std::size_t line_up(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// Gradients of tables are sums of rows of d_output, and without d_input neither a linear layer nor
// a convolution multiplies by its weight.
bool backward_reads_parameters(const OpDescription& description) {
  if (const auto* linear = std::get_if<ops::Linear>(&description)) return linear->need_d_input;
  if (const auto* conv = std::get_if<ops::Convolution>(&description)) return conv->need_d_input;
  return !std::holds_alternative<ops::Embedding>(description) &&
         !std::holds_alternative<ops::Positions>(description);
}

class UseBuilder {
 public:
  explicit UseBuilder(Uses& uses) : uses_(uses) {}

  template <typename Spec>
  void add_reader(int op, const Spec& spec, const std::vector<int>& statistics, Direction direction,
                  std::size_t packed_bytes) {
    UseReader reader;
    reader.op = op;
    if (direction == Direction::kBackward) reader.direction = ops::Reader::kBackward;
    reader.parameters = spec.parameters;
    // Running statistics are read in evaluation, whose uses are those of the forward pass.
    if (direction == Direction::kForward) reader.statistics = statistics;
    if (packed_bytes > 0) {
      reader.packs = true;
      reader.packed_at = packed_end_;
      packed_end_ += line_up(packed_bytes);
    }
    for (const auto* list : {&reader.parameters, &reader.statistics})
      parameters_.insert(parameters_.end(), list->begin(), list->end());
    readers_.push_back(std::move(reader));
  }

  // Ends a unit of time.
  void finish() {
    uses_.at.push_back(parameters_.empty() ? -1 : static_cast<int>(uses_.list.size()));
    if (!parameters_.empty()) append();
    readers_.clear();
    parameters_.clear();
    packed_end_ = 0;
  }

 private:
  void append() {
    std::ranges::sort(parameters_);
    const auto repeated = std::ranges::unique(parameters_);
    parameters_.erase(repeated.begin(), repeated.end());
    for (UseReader& reader : readers_) {
      for (auto* list : {&reader.parameters, &reader.statistics}) {
        for (int& p : *list) p = place(p);
      }
    }
    uses_.packed_bytes = std::max(uses_.packed_bytes, packed_end_);
    uses_.most_parameters = std::max(uses_.most_parameters, parameters_.size());
    uses_.list.push_back({std::move(parameters_)});
    uses_.readers.push_back(std::move(readers_));
  }
  int place(int parameter) const {
    return static_cast<int>(std::ranges::lower_bound(parameters_, parameter) - parameters_.begin());
  }

  Uses& uses_;
  std::vector<UseReader> readers_;
  std::vector<int> parameters_;
  std::size_t packed_end_ = 0;
};

}  // namespace

Uses find_uses(const Lowered& lowered, const std::vector<std::unique_ptr<ops::Op>>& ops,
               const ops::LossHead* head, const Schedule& schedule) {
  Uses uses;
  UseBuilder builder(uses);
  const auto append = [&](const Sweep& sweep) {
    for (const Stage stage : sweep.stages) {
      const OpSpec& spec = lowered.ops[stage.op];
      if (spec.parameters.empty()) continue;
      if (sweep.direction == Direction::kBackward && !backward_reads_parameters(spec.description))
        continue;
      builder.add_reader(stage.op, spec, spec.statistics, sweep.direction,
                         ops[stage.op]->packed_bytes());
    }
    builder.finish();
  };
  for (const Sweep& sweep : schedule.forward) append(sweep);
  if (head != nullptr)
    builder.add_reader(static_cast<int>(ops.size()), *lowered.head, {}, Direction::kForward,
                       head->packed_bytes());
  builder.finish();
  uses.evaluation = static_cast<int>(uses.list.size());
  for (const Sweep& sweep : schedule.backward) append(sweep);
  return uses;
}

}  // namespace lockstep::nn
