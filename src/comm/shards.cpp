#include "lockstep/comm/shards.h"

#include <algorithm>

#include "fold_plan.h"

namespace lockstep::comm {

Shards::Shards(const FoldLayout& layout, int positions)
    : positions_(positions), owners_(layout.blocks.size()) {
  const std::vector<BucketBlocks> blocks = find_blocks(layout);
  for (int b = 0; b < static_cast<int>(blocks.size()); ++b) {
    cuts_.push_back(cut_blocks(layout, blocks[b], positions));
    ranges_.emplace_back();
    for (int p = 0; p < positions; ++p) {
      const int first = cuts_[b][p], last = cuts_[b][p + 1];
      ranges_[b].push_back(elements_of(layout, b, blocks[b], first, last));
      std::fill(owners_.begin() + first, owners_.begin() + last, p);
    }
  }
}

std::vector<bool> Shards::owned_by(int position) const {
  std::vector<bool> owned;
  for (const int owner : owners_) owned.push_back(owner == position);
  return owned;
}

std::int64_t Shards::elements(int position) const {
  std::int64_t total = 0;
  for (const auto& bucket : ranges_) total += bucket[position].size();
  return total;
}

}  // namespace lockstep::comm
