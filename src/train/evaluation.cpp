#include "train/evaluation.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "lockstep/core/error.h"
#include "lockstep/parallel/strategy.h"

namespace lockstep::train {
namespace {

using comm::LaneRange;

std::vector<LaneRange> cut_range(LaneRange range, int parts) {
  std::vector<LaneRange> cut;
  for (int p = 0; p < parts; ++p) {
    cut.push_back(
        {range.begin + range.size() * p / parts, range.begin + range.size() * (p + 1) / parts});
  }
  return cut;
}

// Contiguous lanes for each position; none for those that do not evaluate.
std::vector<LaneRange> deal(const comm::Communicator& communicator, std::int64_t lanes,
                            const parallel::Strategy* strategy) {
  std::vector<int> positions;
  if (strategy != nullptr) positions = strategy->evaluators();
  if (positions.empty()) return comm::cut_lanes(lanes, communicator.size());
  std::vector<LaneRange> dealt(communicator.size());
  const auto cut = comm::cut_lanes(lanes, static_cast<int>(positions.size()));
  for (std::size_t i = 0; i < positions.size(); ++i) dealt[positions[i]] = cut[i];
  return dealt;
}

}  // namespace

double Evaluation::value(const std::string& name) const {
  if (name == "loss") return loss;
  for (const auto& [metric, value] : metrics) {
    if (metric == name) return value;
  }
  throw UserError("this run does not measure '{}'", name);
}

std::string values_text(const Evaluation& e) {
  std::string text = fmt::format("loss {:.4f}", e.loss);
  for (const auto& [name, value] : e.metrics) text += fmt::format(", {} {:.4f}", name, value);
  return text;
}

Evaluation summarise(const nn::ProgramOptions& options, const ops::LaneRecord& folded) {
  Evaluation out;
  out.loss = folded.sums[0] / static_cast<double>(std::max<std::int64_t>(1, folded.counts[0]));
  for (const ops::Metric& metric : options.metrics)
    out.metrics.emplace_back(std::string(metric.name()), ops::value(metric, folded));
  return out;
}

Evaluation evaluate(comm::Communicator& communicator, nn::Program& program, Streams& streams,
                    data::RowReader& reader, std::int64_t lanes, parallel::Strategy* strategy) {
  const nn::ProgramOptions& options = program.options();
  const std::int64_t n = reader.samples(), microbatch = options.microbatch;
  const std::int64_t steps = (n + lanes * microbatch - 1) / (lanes * microbatch);
  const std::vector<LaneRange> dealt = deal(communicator, lanes, strategy);
  const LaneRange mine = dealt[communicator.topology().position];
  const auto of_stream = cut_range(mine, streams.count());
  std::vector<ops::LaneRecord> records(static_cast<std::size_t>(steps * mine.size()));
  // Where parameters travel during a pass every rank goes through as many as any.
  std::int64_t passes = 0;
  if (strategy != nullptr && strategy->passes_together()) {
    for (const LaneRange& range : dealt) passes = std::max(passes, range.size());
  }
  streams.run([&](int stream) {
    for (std::int64_t step = 0; step < steps; ++step) {
      std::int64_t passed = 0;
      for (std::int64_t lane = of_stream[stream].begin; lane < of_stream[stream].end; ++lane) {
        const std::int64_t first = (step * lanes + lane) * microbatch;
        const std::int64_t valid = std::clamp<std::int64_t>(n - first, 0, microbatch);
        if (valid == 0) continue;  // its record stays +0
        ++passed;
        const std::int64_t elements = options.sample.elements(), labels = options.labels;
        float* const input = program.input(stream);
        reader.read(first, valid, input, program.labels(stream), program.targets(stream));
        // +0 and token 0 have the same bits.
        std::memset(input + valid * elements, 0, sizeof(float) * (microbatch - valid) * elements);
        std::fill(program.labels(stream) + valid * labels,
                  program.labels(stream) + microbatch * labels, 0);
        std::fill(program.targets(stream) + valid * options.outputs,
                  program.targets(stream) + microbatch * options.outputs, 0.0f);
        program.evaluate(stream, valid,
                         records[static_cast<std::size_t>(step * mine.size() + lane - mine.begin)]);
      }
      for (; passed < passes; ++passed) strategy->idle_evaluation();
    }
    program.wait(stream);
  });
  const auto all = communicator.gather_all(std::as_bytes(std::span(records)));
  // all: by position, then step, then lane of that position.
  ops::LaneRecord total;
  std::vector<parallel::StepRecord> leaves(static_cast<std::size_t>(lanes));
  for (std::int64_t step = 0; step < steps; ++step) {
    std::size_t base = 0;
    for (const LaneRange& range : dealt) {
      for (std::int64_t lane = range.begin; lane < range.end; ++lane) {
        const std::size_t at =
            base + static_cast<std::size_t>(step * range.size() + lane - range.begin);
        std::memcpy(&leaves[lane].lane, all.data() + at * sizeof(ops::LaneRecord),
                    sizeof(ops::LaneRecord));
      }
      base += static_cast<std::size_t>(steps * range.size());
    }
    total = ops::add(total, parallel::fold_in_tree(leaves).lane);
  }
  Evaluation out = summarise(options, total);
  out.samples = n;
  return out;
}

}  // namespace lockstep::train
