#include "train/replica_check.h"

#include <algorithm>
#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/core/host.h"
#include "lockstep/core/log.h"

namespace lockstep::train {
namespace {

struct Answer {  // of one rank, gathered by position
  Hash128 hash;
  std::int64_t has = 0;
};
struct Difference {
  std::int64_t blocks = 0, first = -1;
  char host[64] = "";
};

template <class T>
std::vector<T> gather(comm::Communicator& communicator, const T& mine) {
  const std::vector<std::byte> bytes = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  std::vector<T> all(bytes.size() / sizeof(T));
  std::memcpy(all.data(), bytes.data(), bytes.size());
  return all;
}

// "rank 2 on n17 (5 blocks)"
std::string rank_text(const comm::Topology& topology, int position, const Difference& d) {
  std::string text = fmt::format("rank {} on {}", topology.rank_at[position], d.host);
  if (d.blocks > 0) text += fmt::format(" ({} block{})", d.blocks, d.blocks == 1 ? "" : "s");
  return text;
}

}  // namespace

ReplicaCheck::ReplicaCheck(comm::Communicator& communicator, Device& device, Stream& stream,
                           const ParameterTable& table, parallel::Strategy& strategy,
                           std::int64_t every)
    : communicator_(communicator), table_(table), every_(every) {
  if (every == 0) return;
  copies_ = std::make_unique<HostTensors>(device, stream);
  for (const parallel::StateTensor& tensor : strategy.copies()) {
    copies_->add(tensor, table.flat_elements());
    mine_ = mine_ || tensor.data != nullptr;
  }
  if (mine_) hashes_.resize(copies_->tensors().size() * table.blocks().size());
  std::int64_t holders = 0;
  for (const std::int64_t has : gather<std::int64_t>(communicator, mine_ ? 1 : 0)) holders += has;
  if (holders >= 2) return;
  log::info("run.check_replicas finds nothing here: no two ranks hold copies of their own");
  every_ = 0;
}

Hash128 ReplicaCheck::hash_all() {
  copies_->fetch();
  std::size_t next = 0;
  for (const FlatTensor& tensor : copies_->tensors()) {
    for (const Block& block : table_.blocks())
      hashes_[next++] = hash_bytes(tensor.data + block.begin,
                                   static_cast<std::size_t>(block.elements) * sizeof(float));
  }
  return hash_bytes(hashes_.data(), hashes_.size() * sizeof(Hash128));
}

void ReplicaCheck::check(std::int64_t step) {
  communicator_.set_activity("comparing the ranks' copies", step);
  checked_ = step;
  Answer mine;
  if (mine_) mine = {hash_all(), 1};
  std::vector<Hash128> hashes;
  std::vector<bool> has;
  for (const Answer& answer : gather(communicator_, mine)) {
    hashes.push_back(answer.hash);
    has.push_back(answer.has != 0);
  }
  bool tied = false;
  const std::vector<int> group = group_of(hashes, has, tied);
  if (*std::max_element(group.begin(), group.end()) > 0) refuse(step, group, tied);
}

// The first group's hashes go to all; who differs says where.
void ReplicaCheck::refuse(std::int64_t step, const std::vector<int>& group, bool tied) {
  const comm::Topology& topology = communicator_.topology();
  const int model = static_cast<int>(std::find(group.begin(), group.end(), 0) - group.begin());
  std::int64_t blocks = static_cast<std::int64_t>(hashes_.size());
  blocks = communicator_.max(blocks);
  std::vector<Hash128> theirs(static_cast<std::size_t>(blocks));
  if (topology.position == model) theirs = hashes_;
  communicator_.broadcast(std::as_writable_bytes(std::span(theirs)), topology.rank_at[model]);
  Difference mine;
  std::strncpy(mine.host, host_name().c_str(), sizeof mine.host - 1);
  for (std::size_t b = hashes_.size(); b-- > 0;) {
    if (hashes_[b] == theirs[b]) continue;
    ++mine.blocks;
    mine.first = static_cast<std::int64_t>(b);
  }
  const std::vector<Difference> all = gather(communicator_, mine);
  std::vector<std::string> odd, good;
  std::int64_t first = blocks;
  for (std::size_t p = 0; p < all.size(); ++p) {
    if (group[p] < 0) continue;
    (group[p] == 0 ? good : odd).push_back(rank_text(topology, static_cast<int>(p), all[p]));
    if (all[p].first >= 0) first = std::min(first, all[p].first);
  }
  const std::string where = place_text(first);
  if (before_stop_) before_stop_();
  if (tied)
    throw DataError(
        "after step {} the copies of {} differ from those of {}, first in {}: memory or arithmetic "
        "of one of them cannot be trusted, and which one so few cannot tell. Nothing was "
        "saved since the copies were last equal; go on with --resume on at least 3 ranks, or on "
        "other hosts",
        step, fmt::join(odd, ", "), fmt::join(good, ", "), where);
  const bool one = odd.size() == 1;
  throw DataError(
      "after step {} the cop{} of {} differ{} from those of {} other ranks, first in {}: memory or "
      "arithmetic there cannot be trusted. Nothing was saved since the copies were last equal; "
      "keep the run off {} (sbatch --exclude), and go on with --resume",
      step, one ? "y" : "ies", fmt::join(odd, ", "), one ? "s" : "", good.size(), where,
      one ? "that host" : "those hosts");
}

// "parameters/layer1.weight, elements 4096 to 8191"
std::string ReplicaCheck::place_text(std::int64_t block) const {
  const auto per_tensor = static_cast<std::int64_t>(table_.blocks().size());
  const Block& found = table_.blocks()[block % per_tensor];
  const Parameter& p = table_[found.parameter];
  const std::int64_t begin = found.begin - p.offset;
  return fmt::format("{}/{}, elements {} to {}", copies_->tensors()[block / per_tensor].name,
                     p.name, begin, begin + found.elements - 1);
}

std::vector<int> group_of(const std::vector<Hash128>& values, const std::vector<bool>& has,
                          bool& tied) {
  struct Group {
    Hash128 value;
    int size = 0, first = 0;
  };
  std::vector<Group> groups;
  for (std::size_t p = 0; p < values.size(); ++p) {
    if (!has[p]) continue;
    const auto known = std::ranges::find(groups, values[p], &Group::value);
    if (known != groups.end()) {
      ++known->size;
    } else {
      groups.push_back({values[p], 1, static_cast<int>(p)});
    }
  }
  std::ranges::stable_sort(groups, [](const Group& a, const Group& b) { return a.size > b.size; });
  tied = groups.size() > 1 && groups[0].size == groups[1].size;
  std::vector<int> group(values.size(), -1);
  for (std::size_t p = 0; p < values.size(); ++p) {
    if (has[p])
      group[p] =
          static_cast<int>(std::ranges::find(groups, values[p], &Group::value) - groups.begin());
  }
  return group;
}

}  // namespace lockstep::train
