#include "lockstep/comm/node_store.h"

#include <algorithm>
#include <map>
#include <set>

#include "lockstep/core/error.h"

namespace lockstep::comm {
namespace {

int root_level(std::int64_t lanes) {
  int level = 0;
  while ((std::int64_t{1} << level) < lanes) ++level;
  return level;
}

Node highest_name(Node node, std::int64_t lanes, int root) {
  while (node.level < root && node.index % 2 == 0 && ((node.index + 1) << node.level) >= lanes)
    node = parent(node);
  return node;
}

bool before(const Node& a, const Node& b) { return a.begin() < b.begin(); }

// Simulates a node store: which places are taken, and which node waits in each.
class StoreSimulation {
 public:
  explicit StoreSimulation(std::int64_t lanes) : lanes_(lanes), root_(root_level(lanes)) {}

  Arrival arrive(Node node, bool merge_directly) {
    Arrival arrival{node, -1, {}};
    node = highest_name(node, lanes_, root_);
    int here = -1;
    if (!merge_directly || !live_.contains(key(sibling(node)))) here = arrival.slot = take_slot();
    while (node.level < root_) {
      const auto waiting = live_.find(key(sibling(node)));
      if (waiting == live_.end()) break;
      const int there = waiting->second;
      live_.erase(waiting);
      if (here == -1) {
        arrival.merges.push_back({there, -1});
        here = there;
      } else {
        const bool here_is_left = node.index % 2 == 0;
        const Merge merge{here_is_left ? here : there, here_is_left ? there : here};
        arrival.merges.push_back(merge);
        free_.insert(merge.from);
        here = merge.into;
      }
      node = highest_name(parent(node), lanes_, root_);
    }
    LOCKSTEP_CHECK(live_.emplace(key(node), here).second, "a node arrived twice");
    return arrival;
  }

  int slots() const { return slots_; }

  std::vector<std::pair<Node, int>> remaining() const {
    std::vector<std::pair<Node, int>> left;
    for (const auto& [name, slot] : live_) left.push_back({Node{name.first, name.second}, slot});
    std::sort(left.begin(), left.end(),
              [](const auto& a, const auto& b) { return before(a.first, b.first); });
    return left;
  }

 private:
  using Key = std::pair<int, std::int64_t>;
  static Key key(const Node& node) { return {node.level, node.index}; }
  int take_slot() {
    if (free_.empty()) return slots_++;
    const int slot = *free_.begin();
    free_.erase(free_.begin());
    return slot;
  }

  std::int64_t lanes_;
  int root_;
  int slots_ = 0;
  std::set<int> free_;
  std::map<Key, int> live_;
};

}  // namespace

std::int64_t Node::end(std::int64_t lanes) const { return std::min((index + 1) << level, lanes); }

Node highest_name(Node node, std::int64_t lanes) {
  return highest_name(node, lanes, root_level(lanes));
}

Node first_canonical(LaneRange range, std::int64_t lanes) {
  const int root = root_level(lanes);
  const std::int64_t a = range.begin;
  int level = 0;
  while (level < root && a % (std::int64_t{2} << level) == 0 &&
         std::min(a + (std::int64_t{2} << level), lanes) <= range.end) {
    ++level;
  }
  return {level, a >> level};
}

std::vector<Node> canonical_nodes(LaneRange range, std::int64_t lanes) {
  LOCKSTEP_CHECK(0 <= range.begin && range.begin <= range.end && range.end <= lanes,
                 "lanes [{}, {}) of {}", range.begin, range.end, lanes);
  std::vector<Node> nodes;
  for (std::int64_t a = range.begin; a < range.end; a = nodes.back().end(lanes))
    nodes.push_back(first_canonical({a, range.end}, lanes));
  return nodes;
}

// Sizes grow to the largest node and shrink behind it: 1, 1 + 1, 1 + 2 + 1, 1 + 2 + 2 + 1, ...
int most_canonical(std::int64_t size) {
  int nodes = 0;
  for (std::int64_t least = 1; least <= size; ++nodes)
    least += std::int64_t{1} << ((nodes + 1) / 2);
  return nodes;
}

std::vector<LaneRange> cut_lanes(std::int64_t lanes, int parts) {
  if (parts > lanes) {
    throw UserError(
        "{} ranks cannot share train.lanes = {}: start no more than {}, or raise train.lanes",
        parts, lanes, lanes);
  }
  return cut_lanes({0, lanes}, parts, lanes);
}

// Dynamic program over (part, first lane): fewest nodes for the lanes that are left. Only lanes
// that keep every part within the smallest maximum load are looked at, fewer than `parts` a part.
std::vector<LaneRange> cut_lanes(LaneRange range, int parts, std::int64_t lanes) {
  const std::int64_t size = range.size();
  LOCKSTEP_CHECK(1 <= parts && parts <= size, "{} lanes in {} parts", size, parts);
  const std::int64_t load = (size + parts - 1) / parts;
  const auto low = [&](int part) {
    return std::max<std::int64_t>(part, size - (parts - part) * load);
  };
  const auto high = [&](int part) {
    return std::min<std::int64_t>(part * load, size - (parts - part));
  };
  constexpr std::int64_t kNever = INT64_MAX / 2;
  // fewest[part][x - low(part)]: nodes of lanes [x, size) cut in parts - part ranges.
  std::vector<std::vector<std::int64_t>> fewest(parts + 1), choice(parts + 1);
  fewest[parts] = {0};
  for (int part = parts - 1; part >= 0; --part) {
    for (std::int64_t x = low(part); x <= high(part); ++x) {
      std::int64_t best = kNever, best_size = 0;
      for (std::int64_t take = load; take >= 1; --take) {
        const std::int64_t next = x + take;
        if (next < low(part + 1) || next > high(part + 1)) continue;
        const auto here = canonical_nodes({range.begin + x, range.begin + next}, lanes).size();
        const std::int64_t total =
            static_cast<std::int64_t>(here) + fewest[part + 1][next - low(part + 1)];
        if (total < best) best = total, best_size = take;
      }
      fewest[part].push_back(best);
      choice[part].push_back(best_size);
    }
  }
  std::vector<LaneRange> cut;
  for (std::int64_t part = 0, x = 0; part < parts; ++part) {
    const std::int64_t take = choice[part][x - low(static_cast<int>(part))];
    cut.push_back({range.begin + x, range.begin + x + take});
    x += take;
  }
  return cut;
}

FoldSchedule make_schedule(const std::vector<Node>& arrivals, std::int64_t lanes,
                           bool merge_arrival_directly) {
  StoreSimulation store(lanes);
  FoldSchedule schedule;
  for (const Node& node : arrivals) {
    schedule.arrivals.push_back(store.arrive(node, merge_arrival_directly));
  }
  schedule.slots = store.slots();
  schedule.remaining = store.remaining();
  return schedule;
}

}  // namespace lockstep::comm
