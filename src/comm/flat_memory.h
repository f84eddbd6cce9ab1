// The memory of a SharedFlat on a node: the flat buffer, two places into which uses are gathered in
// turn, and flags. One mapping; pages of elements that this node does not hold are never touched.
#pragma once
#include <span>
#include <vector>

#include "flat_plan.h"
#include "fold_memory.h"
#include "node_memory.h"
#include "pages.h"
#include "shared_window.h"

namespace lockstep::comm {

// The pages that this rank reserves, in bytes of the mapping: of the flat buffer, of the gathering
// places (an equal share), for its flags.
std::vector<ByteRange> resident_pages(const FlatPlan& plan);
ByteRange gathered_pages(const FlatPlan& plan);
// Those that all ranks of the node reserve, but for flags.
std::vector<ByteRange> node_pages(const FlatPlan& plan);
ByteRange flag_pages(const FlatPlan& plan, int local);

// Collective over the node, unless `alone`: then this rank has the memory to itself. Throws the
// same UserError on all ranks of the node.
Pages map_flat(Communicator& communicator, const FlatPlan& plan, bool alone);

class FlatMemory {
 public:
  FlatMemory(const FlatPlan& plan, Pages pages) : plan_(plan), pages_(std::move(pages)) {}

  float* flat() const { return floats(0); }
  std::vector<std::span<std::byte>> pages() const {
    std::vector<std::span<std::byte>> pages;
    for (const ByteRange& range : node_pages(plan_))
      pages.emplace_back(pages_.data() + range.begin, range.end - range.begin);
    return pages;
  }
  float* place(int use) const {
    return floats(plan_.flat_bytes() + (use & 1) * plan_.place_bytes());
  }
  // What rank `local` brings to the node of bucket b is here: its shard, and what it receives.
  Flag& here(int local, int b) const { return flags(local)[2 + b]; }
  // How many uses rank `local` has brought its share of, and how many it has released.
  Flag& brought(int local) const { return flags(local)[0]; }
  Flag& released(int local) const { return flags(local)[1]; }

 private:
  float* floats(std::size_t offset) const {
    return reinterpret_cast<float*>(pages_.data() + offset);
  }
  Flag* flags(int local) const {
    return reinterpret_cast<Flag*>(pages_.data() + flag_pages(plan_, local).begin);
  }

  const FlatPlan& plan_;
  Pages pages_;
};

}  // namespace lockstep::comm
