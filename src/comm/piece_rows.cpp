#include "piece_rows.h"

namespace lockstep::comm {

PieceRows::PieceRows(const std::vector<Node>& nodes, std::int64_t lanes, LeafType leaf) {
  for (const Node& node : nodes) {
    const bool narrow = leaf == LeafType::kBf16 && node.end(lanes) - node.begin() == 1;
    narrow_.push_back(narrow);
    begin_.push_back(halves_);
    halves_ += narrow ? 1 : 2;
    narrow_rows_ += narrow ? 1 : 0;
  }
}

}  // namespace lockstep::comm
