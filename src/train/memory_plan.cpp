#include "train/memory_plan.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <functional>

#include "lockstep/core/error.h"
#include "lockstep/core/memory.h"
#include "lockstep/core/units.h"
#include "lockstep/device/device.h"
#include "lockstep/train/tables.h"
#include "train/planned_ledger.h"

namespace lockstep::train {
namespace {

using Rows = std::vector<nn::LedgerRow>;

constexpr const char* kDataCache = "data cache";
constexpr const char* kDataHeld = "data held";

std::uint64_t total(const Rows& rows) {
  std::uint64_t bytes = 0;
  for (const nn::LedgerRow& row : rows) bytes += row.bytes;
  return bytes;
}

// The ledger of this rank, with another strategy if one is given.
Rows ledger(const PlanInputs& in, const LedgerPlan& plan, const parallel::Options& chosen) {
  Run run = in.run;
  run.parallel.options = chosen;
  return plan.rows(in.communicator.topology(), parallel_options(run), proportional_memory());
}

std::string bytes_of(std::uint64_t bytes) { return bytes_text(static_cast<double>(bytes)); }

std::string largest_rows(Rows rows) {
  std::ranges::sort(rows, std::greater(), &nn::LedgerRow::bytes);
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(rows.size(), 4); ++i)
    text += fmt::format("{}{} {}", i > 0 ? ", " : "", rows[i].name, bytes_of(rows[i].bytes));
  return text;
}

// Where all would fit but for the cache.
void refuse_a_cache_that_does_not_fit(const PlanInputs& in, const Rows& rows, std::uint64_t needed,
                                      const MemoryLimit& limit) {
  const auto row = std::ranges::find(rows, kDataCache, &nn::LedgerRow::name);
  const std::uint64_t cache =
      node_total(in.communicator, row == rows.end() ? 0 : std::uint64_t{row->bytes});
  const std::uint64_t others = needed - cache;
  if (in.communicator.min(others < limit.bytes ? 1 : 0) == 0) return;
  in.communicator.together([&] {
    if (needed > limit.bytes)
      throw UserError(
          "this run needs {} on a node of {} ranks, {} of them for the cache of the data, of which "
          "{} may be used ({}); set data.cache_bytes to at most {}, or data.cache = \"node\"",
          bytes_of(needed), in.communicator.topology().local_ranks(), bytes_of(cache),
          bytes_of(limit.bytes), limit.source, limit.bytes - others);
  });
}

// Where all would fit but for the samples that data.shuffle = "full" holds.
void refuse_samples_that_do_not_fit(const PlanInputs& in, const Rows& rows, std::uint64_t needed,
                                    const MemoryLimit& limit) {
  const auto row = std::ranges::find(rows, kDataHeld, &nn::LedgerRow::name);
  const std::uint64_t held =
      node_total(in.communicator, row == rows.end() ? 0 : std::uint64_t{row->bytes});
  if (in.communicator.min(needed - held < limit.bytes ? 1 : 0) == 0) return;
  in.communicator.together([&] {
    if (needed > limit.bytes)
      throw UserError(
          "this run needs {} on a node of {} ranks, {} of them for this node's share of the "
          "samples, of which {} may be used ({}); use more nodes, or data.shuffle = \"window\", which "
          "leaves the samples in their files",
          bytes_of(needed), in.communicator.topology().local_ranks(), bytes_of(held),
          bytes_of(limit.bytes), limit.source);
  });
}

}  // namespace

void refuse_what_does_not_fit(const PlanInputs& in) {
  comm::Communicator& communicator = in.communicator;
  const parallel::Options& chosen = in.run.parallel.options;
  const bool planned =
      chosen.kind == parallel::Kind::kReplicated || chosen.kind == parallel::Kind::kSharded;
  if (!planned || chosen.reduce == comm::ReduceKind::kMpi) return;
  check_batch(in.run, in.manifest);
  MemoryLimit limit = memory_limit();
  if (const auto given = static_cast<std::uint64_t>(in.run.run.memory); given > 0)
    limit = {given, "run.memory"};
  const LedgerPlan plan(in.run, in.manifest, in.task, in.precision);
  const Rows rows = ledger(in, plan, chosen);
  const std::uint64_t needed = node_total(communicator, total(rows));
  const auto missing = static_cast<std::int64_t>(needed) - static_cast<std::int64_t>(limit.bytes);
  if (communicator.max(missing) <= 0) return;
  refuse_samples_that_do_not_fit(in, rows, needed, limit);
  refuse_a_cache_that_does_not_fit(in, rows, needed, limit);
  // The other ways of sharing the same work, on this node.
  std::string others;
  std::vector<std::int64_t> fits;
  for (std::int64_t stage = 1; stage <= 3; ++stage) {
    parallel::Options other = chosen;
    other.kind = parallel::Kind::kSharded;
    other.stage = stage;
    if (stage == 3 && in.run.run.threads > 1) continue;  // they do not go together
    const std::uint64_t bytes = node_total(communicator, total(ledger(in, plan, other)));
    others += fmt::format("{}stage {}: {}", stage > 1 ? ", " : "", stage, bytes_of(bytes));
    const bool fits_here = bytes <= limit.bytes;
    if (communicator.min(fits_here ? 1 : 0) == 1) fits.push_back(stage);
  }
  const auto row = std::ranges::find(rows, "checkpoint snapshot", &nn::LedgerRow::name);
  const std::uint64_t snapshot =
      node_total(communicator, row == rows.end() ? 0 : std::uint64_t{row->bytes});
  const bool fits_without = communicator.max(missing - static_cast<std::int64_t>(snapshot)) <= 0;
  const std::string waiting =
      fits_without ? fmt::format("set checkpoint.background = false, which needs {} less, or ",
                                 bytes_of(snapshot))
                   : "";
  const std::string none = fits_without
                               ? "use more nodes"
                               : "none of them fits: use more nodes, a smaller batch or model, or "
                                 "train.recompute = \"block\"";
  const std::string remedy =
      waiting + (fits.empty()
                     ? none
                     : fmt::format("use parallel.strategy = \"sharded\" with parallel.stage = {}",
                                   fmt::join(fits, " or ")));
  const std::string sentence = fmt::format(
      "this run needs {} on a node of {} ranks, of which {} may be used ({}); of each rank's {}: "
      "{}. Sharded it would need {}; {}",
      bytes_of(needed), communicator.topology().local_ranks(), bytes_of(limit.bytes), limit.source,
      bytes_of(total(rows)), largest_rows(rows), others, remedy);
  communicator.together([&] {
    if (missing > 0) throw UserError("{}", sentence);
  });
}

}  // namespace lockstep::train
