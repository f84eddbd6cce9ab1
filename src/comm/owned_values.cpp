#include "owned_values.h"

namespace lockstep::comm {

OwnedValues::OwnedValues(const Shards& shards) : place(shards.owners().size()) {
  std::int64_t at = 0;
  for (int position = 0; position < shards.positions(); ++position) {
    const std::int64_t begin = at;
    for (int b = 0; b < shards.buckets(); ++b) {
      const auto& cut = shards.cut(b);
      for (int block = cut[position]; block < cut[position + 1]; ++block) place[block] = at++;
    }
    ranges.push_back({begin, at});
  }
}

}  // namespace lockstep::comm
