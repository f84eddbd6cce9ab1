// Who owns which blocks of a flat buffer: each bucket is cut into runs of blocks of about equal
// elements, one for each position in order. A rank's shard is its runs of all buckets, so that
// every bucket gives every owner its share of the work. A function of layout and positions alone.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/comm/fold.h"

namespace lockstep::comm {

class Shards {
 public:
  Shards(const FoldLayout& layout, int positions);

  int positions() const { return positions_; }
  int buckets() const { return static_cast<int>(cuts_.size()); }
  // positions + 1 block indices of FoldLayout::blocks: position p owns [cut[p], cut[p + 1]).
  const std::vector<int>& cut(int bucket) const { return cuts_[bucket]; }
  // The elements of these blocks, padding behind each included, so that neighbouring runs touch;
  // empty where a position owns nothing of the bucket.
  Range range(int bucket, int position) const { return ranges_[bucket][position]; }
  int owner(int block) const { return owners_[block]; }       // position
  const std::vector<int>& owners() const { return owners_; }  // by block
  std::vector<bool> owned_by(int position) const;             // by block; -1: nobody's
  std::int64_t elements(int position) const;                  // padding included

 private:
  int positions_;
  std::vector<std::vector<int>> cuts_;
  std::vector<std::vector<Range>> ranges_;
  std::vector<int> owners_;
};

}  // namespace lockstep::comm
