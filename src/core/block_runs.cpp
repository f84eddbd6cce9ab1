#include "lockstep/core/block_runs.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep {
namespace {

std::int64_t whole_granules(std::int64_t elements) {
  return (elements + kGranule - 1) / kGranule * kGranule;
}

}  // namespace

std::vector<BlockRun> runs_of(const ParameterTable& table, const std::vector<bool>& mine) {
  const std::vector<Block>& blocks = table.blocks();
  LOCKSTEP_CHECK(mine.size() == blocks.size(), "{} of {} blocks", mine.size(), blocks.size());
  std::vector<BlockRun> runs;
  for (int b = 0; b < static_cast<int>(blocks.size()); ++b) {
    if (!mine[b]) continue;
    if (runs.empty() || runs.back().first + runs.back().count != b)
      runs.push_back({b, 0, blocks[b].begin, 0, packed_elements(runs)});
    ++runs.back().count;
    runs.back().elements = blocks[b].begin + blocks[b].elements - runs.back().begin;
  }
  return runs;
}

std::vector<BlockRun> whole_run(const ParameterTable& table) {
  return {{0, static_cast<int>(table.blocks().size()), 0, table.flat_elements(), 0}};
}

std::int64_t packed_elements(const std::vector<BlockRun>& runs) {
  return runs.empty() ? 0 : runs.back().at + whole_granules(runs.back().elements);
}

std::int64_t packed_place(const std::vector<BlockRun>& runs, std::int64_t element) {
  const auto after = std::partition_point(
      runs.begin(), runs.end(), [=](const BlockRun& run) { return run.begin <= element; });
  LOCKSTEP_CHECK(after != runs.begin() && element < after[-1].begin + after[-1].elements,
                 "element {} lies in no run", element);
  return element + after[-1].shift();
}

}  // namespace lockstep
