#include "lockstep/plan/tables.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/core/units.h"

namespace lockstep::plan {
namespace {

const char* plural(std::int64_t count) { return count == 1 ? "" : "s"; }

std::string layout_text(const Layout& layout) {
  std::string text = fmt::format("{} rank{}", layout.ranks, plural(layout.ranks));
  if (layout.nodes() > 1) text += fmt::format(" on {} nodes", layout.nodes());
  return text;
}

const char* name_of(Bottleneck bottleneck) {
  switch (bottleneck) {
    case Bottleneck::kCompute:
      return "arithmetic";
    case Bottleneck::kMemoryBandwidth:
      return "memory bandwidth";
    case Bottleneck::kOverhead:
      return "overhead of ops";
    case Bottleneck::kFold:
      return "adding";
    case Bottleneck::kNetwork:
      return "messages";
    case Bottleneck::kData:
      return "data";
    case Bottleneck::kBalance:
      return "uneven lanes";
  }
  return "";
}

PlannedWay way_of(const Job& job, const Machine* machine, const Layout& layout,
                  const parallel::Options& parallel) {
  PlannedWay way{layout, parallel, {}, {}, {}};
  try {
    if (machine != nullptr) {
      way.prediction = predict(job, *machine, layout, parallel);
      way.memory = way.prediction->memory;
    } else if (job.memory) {
      way.memory = job.memory(layout, parallel);
    }
  } catch (const UserError& error) {
    way.refusal = error.what();
  }
  return way;
}

const nn::LedgerRow* row_of(const PlannedWay& way, const std::string& name) {
  const auto row = std::ranges::find(way.memory, name, &nn::LedgerRow::name);
  return row == way.memory.end() ? nullptr : &*row;
}

// All rows' names, in the order of the first way that has each.
std::vector<std::string> row_names(const std::vector<PlannedWay>& ways) {
  std::vector<std::string> names;
  for (const PlannedWay& way : ways) {
    auto at = names.begin();
    for (const nn::LedgerRow& row : way.memory) {
      const auto found = std::ranges::find(names, row.name);
      at = found != names.end() ? found + 1 : names.insert(at, row.name) + 1;
    }
  }
  return names;
}

std::string bytes_of(std::uint64_t bytes) { return bytes_text(static_cast<double>(bytes)); }

enum class Where : std::uint8_t { kDevice, kHost };
std::uint64_t total(const PlannedWay& way, Where where, bool apart) {
  std::uint64_t bytes = 0;
  for (const nn::LedgerRow& row : way.memory) {
    const bool on_device = apart && !row.on_host;
    if (on_device == (where == Where::kDevice)) bytes += row.bytes;
  }
  return bytes;
}

std::string refusals(const std::vector<PlannedWay>& ways) {
  std::string text;
  for (const PlannedWay& way : ways) {
    if (!way.refusal.empty())
      text += fmt::format("  {}: {}\n", way_name(way.parallel), way.refusal);
  }
  return text;
}

}  // namespace

std::string way_name(const parallel::Options& parallel) {
  if (parallel.kind == parallel::Kind::kSharded) return fmt::format("stage {}", parallel.stage);
  return std::string(parallel::name_of(parallel.kind));
}

std::vector<PlannedWay> plan_ways(const Job& job, const Machine* machine, const Layout& layout) {
  std::vector<PlannedWay> ways;
  if (job.parallel.kind == parallel::Kind::kServer || job.parallel.kind == parallel::Kind::kLocal)
    ways.push_back(way_of(job, machine, layout, job.parallel));
  parallel::Options other = job.parallel;
  other.kind = parallel::Kind::kReplicated;
  ways.push_back(way_of(job, machine, layout, other));
  other.kind = parallel::Kind::kSharded;
  for (other.stage = 1; other.stage <= 3; ++other.stage)
    ways.push_back(way_of(job, machine, layout, other));
  return ways;
}

std::string job_text(const Job& job) {
  const double flops = job.flops(), bytes = job.bytes();
  std::string text = fmt::format(
      "  model   {} parameters, {} ops, {} on {}\n", count_text(static_cast<double>(job.parameters)),
      job.ops.size(), job.precision, job.device);
  text += fmt::format(
      "  batch   {} = {} lane{} x {}{}\n", job.batch, job.lanes, plural(job.lanes),
      job.accumulate > 1 ? fmt::format("{} accumulated x ", job.accumulate) : "", job.microbatch);
  text += fmt::format("  steps   {}, {} to the epoch of {:.0f} samples ({} of data)\n", job.steps,
                      job.steps_per_epoch, job.data.samples, bytes_text(job.data.total_bytes));
  text += fmt::format(
      "  a step  {}flop, {} moved between memory and processor at least: {:.1f} flop a byte\n",
      count_text(flops), bytes_text(bytes), bytes > 0 ? flops / bytes : 0);
  return text;
}

std::string memory_text(const Job& job, const std::vector<PlannedWay>& ways) {
  std::vector<PlannedWay> had;
  std::ranges::copy_if(ways, std::back_inserter(had),
                       [](const PlannedWay& way) { return !way.memory.empty(); });
  if (had.empty()) return refusals(ways);
  const Layout& layout = had.front().layout;
  const bool apart = job.device != "cpu";
  const std::int64_t locals = std::min(layout.ranks, layout.ranks_per_node);
  std::string text = fmt::format("Memory of the fullest rank, {}\n  {:<28}", layout_text(layout), "");
  for (const PlannedWay& way : had) text += fmt::format(" {:>12}", way_name(way.parallel));
  text += "\n";
  for (const std::string& name : row_names(had)) {
    text += fmt::format("  {:<28}", name);
    for (const PlannedWay& way : had) {
      const nn::LedgerRow* row = row_of(way, name);
      text += fmt::format(" {:>12}", row != nullptr ? bytes_of(row->bytes) : "-");
    }
    text += "\n";
  }
  const auto add_total = [&](const std::string& name, Where where, std::int64_t times) {
    text += fmt::format("  {:<28}", name);
    for (const PlannedWay& way : had)
      text += fmt::format(" {:>12}",
                          bytes_of(static_cast<std::uint64_t>(times) * total(way, where, apart)));
    text += "\n";
  };
  if (apart) add_total("total on the GPU", Where::kDevice, 1);
  add_total(apart ? "total on the host" : "total per rank", Where::kHost, 1);
  add_total(fmt::format("total per node, {} rank{}", locals, plural(locals)), Where::kHost, locals);
  return text + refusals(ways);
}

std::string steps_text(const Job& job, const std::vector<PlannedWay>& ways) {
  std::string text = fmt::format("  {:>6} {:<10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10}\n", "ranks",
                                 "", "compute", "adding", "exposed", "data", "step", "hidden",
                                 job.sequence > 0 ? "tokens/s" : "samples/s");
  const double each = job.sequence > 0 ? static_cast<double>(job.sequence) : 1;
  for (const PlannedWay& way : ways) {
    if (!way.prediction) continue;
    const Prediction& p = *way.prediction;
    text += fmt::format("  {:>6} {:<10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10}\n",
                        way.layout.ranks, way_name(way.parallel), seconds_text(p.step.compute),
                        seconds_text(p.step.fold), seconds_text(p.step.exposed),
                        seconds_text(p.step.data), seconds_text(p.step.total()),
                        seconds_text(p.step.hidden), count_text(each * p.samples_per_second));
  }
  return text;
}

std::string scaling_text(const Job& job, const std::vector<Prediction>& series, Scaling kind) {
  std::string text =
      kind == Scaling::kStrong
          ? fmt::format("Strong scaling: the batch of {} on more ranks\n", job.batch)
          : std::string("Weak scaling: a lane for each rank's thread, so that the batch grows\n");
  text += fmt::format("  {:>6} {:>6} {:>9} {:>9} {:>10} {:>10} {:>8}  {:<16} {:>9}\n", "ranks", "nodes",
                      "batch", "step", "exposed", "samples/s", "effic.", "bottleneck",
                      "a rank");
  for (const Prediction& p : series) {
    text += fmt::format("  {:>6} {:>6} {:>9} {:>9} {:>10} {:>10} {:>6.1f} %  {:<16} {:>9}\n",
                        p.layout.ranks, p.layout.nodes(), p.batch, seconds_text(p.step.total()),
                        seconds_text(p.step.exposed), count_text(p.samples_per_second),
                        100 * p.efficiency, name_of(p.bottleneck), bytes_text(p.rank_memory));
  }
  return text;
}

std::string checkpoint_text(const Job& job, const Prediction& p) {
  if (p.checkpoint_seconds <= 0) return "";
  std::string text = fmt::format("  checkpoint: {}, {} to write", bytes_text(job.checkpoint_bytes),
                                 seconds_text(p.checkpoint_seconds));
  if (p.checkpoint_interval > 0)
    text += fmt::format("; best every {} where {} fails once in {:.0f} days (checkpoint.mtbf)",
                        seconds_text(p.checkpoint_interval),
                        p.layout.nodes() == 1 ? "the node" : "a node", job.mtbf / 86400);
  return text + "\n";
}

}  // namespace lockstep::plan
