#include "parallel/layouts.h"

namespace lockstep::parallel {

comm::Dealing dealing_of(Assignment assignment) {
  switch (assignment) {
    case Assignment::kStatic:
      return comm::Dealing::kFixed;
    case Assignment::kAdaptive:
      return comm::Dealing::kMeasured;
    case Assignment::kQueue:
      return comm::Dealing::kTaken;
  }
  return comm::Dealing::kFixed;
}

comm::FoldLayout fold_layout(const ParameterTable& table, const BucketTable& buckets,
                             const Options& options, bool on_host) {
  comm::FoldLayout layout = buckets.layout(table);
  layout.lanes = options.lanes;
  layout.streams = options.streams;
  layout.record_bytes = sizeof(StepRecord);
  layout.leaf = options.leaf;
  layout.dealing = dealing_of(options.assignment);
  layout.extra = static_cast<int>(options.extra);
  if (options.kind == Kind::kSharded) {
    layout.sums = comm::SumsTo::kOwners;
    layout.leaves = options.stage == 1 ? comm::Leaves::kFolded : comm::Leaves::kInRounds;
  }
  // A sink pushes a bucket before it enters the next; where passes are captured, the addresses of
  // all come first.
  const bool captured = !on_host && layout.leaves == comm::Leaves::kFolded;
  layout.open_buckets = captured ? static_cast<int>(layout.buckets.size()) : 1;
  return layout;
}

comm::FlatLayout flat_layout(const nn::Program& program, const BucketTable& buckets,
                             const Options& options) {
  const ParameterTable& table = program.table();
  comm::FlatLayout layout;
  layout.fold = buckets.layout(table);
  if (options.stage < 3) return layout;
  layout.extent = comm::FlatExtent::kShards;
  for (const nn::ParameterUse& use : program.uses()) {
    comm::FlatUse& ranges = layout.uses.emplace_back();
    for (const int p : use.parameters)
      ranges.ranges.push_back({table[p].offset, table[p].offset + table[p].elements});
  }
  return layout;
}

}  // namespace lockstep::parallel
