#include "plan/simulate_lanes.h"

#include <algorithm>
#include <utility>

namespace lockstep::plan {

using events::Kind;
using Track = Timeline::Track;

// Publishes a bucket; on a device, goes on to the next one by itself.
void LanesPlayer::edge(std::int64_t rank, double time) {
  Actor& actor = actors_[rank];
  const std::int64_t node = node_of(rank), tick = actor.next++;
  Gathered& ready = at(ready_, node, tick);
  ready.add(time, time + flag_);
  if (ready.count == plan_.locals(node)) wake_node(node, ready.last);
  if (beside_) computes(rank, time);
  look(rank, time);
}

// Computes up to the next edge, if its leaf may be written. False: there is none, or it must wait.
bool LanesPlayer::computes(std::int64_t rank, double time) {
  Actor& actor = actors_[rank];
  RankStep& mine = step_->ranks[rank];
  const Schedule& schedule = *schedules_[rank];
  if (actor.next == ticks_) {
    if (actor.computing_ends == 0) actor.computing_ends = time;
    return false;
  }
  // In rounds two buckets of a stream may be unread.
  const std::int64_t before = actor.next - 2;
  const std::int64_t node = node_of(rank);
  if (plan_.rounds && !beside_ && before >= 0 &&
      (at(folded_, node, before).count < plan_.locals(node) ||
       at(folded_, node, before).last > time)) {
    return false;
  }
  const bool has = actor.next < static_cast<std::int64_t>(schedule.ready.size());
  const double to = has ? schedule.ready[actor.next] : schedule.seconds;
  const double stall = has ? schedule.stall[actor.next] : 0;
  const double seconds = (to - actor.computed) * mine.factor;
  mine.compute += seconds;
  mine.exposed += stall;
  if (actor.next > 0 && actor.returns < actor.next) mine.hidden += seconds;
  if (step_->timeline != nullptr) {
    step_->timeline->compute(rank, schedule, actor.computed, to, time + stall,
                             time + stall + seconds);
    step_->timeline->add(rank, Track::kCompute, Kind::kWait, "parameters of a layer", time,
                         time + stall);
  }
  actor.computed = to;
  push(time + stall + seconds, What::kEdge, rank);
  return true;
}

void LanesPlayer::look(std::int64_t rank, double time) {
  Actor& actor = actors_[rank];
  RankStep& mine = step_->ranks[rank];
  if (actor.busy_until > time || actor.finished >= 0) return;
  if (actor.waits_since >= 0) {
    mine.exposed += time - actor.waits_since;
    if (step_->timeline != nullptr)
      step_->timeline->add(rank, Track::kCompute, Kind::kWait, "other ranks", actor.waits_since,
                           time);
    actor.waits_since = -1;
  }
  if (actor.doing != Doing::kNothing) acted(rank, time);
  if (act(rank, time)) return;
  if (!beside_ && computes(rank, time)) return;
  const std::int64_t node = node_of(rank);
  const bool all_back = [&] {
    if (actor.returns < ticks_) return false;
    for (std::int64_t tick = 0; tick < ticks_; ++tick) {
      const Gathered& back = at(back_, node, tick);
      if (back.count < plan_.locals(node) || back.last > time) return false;
    }
    return true;
  }();
  if (all_back && actor.next == ticks_) {
    actor.finished = time;
    return;
  }
  if (!beside_) {
    actor.waits_since = time;
    // What is already known to come about later.
    double next = kNever;
    const auto consider = [&](const Gathered& g, std::int64_t count) {
      if (g.count >= count && g.last > time) next = std::min(next, g.last);
    };
    if (actor.parts < ticks_) consider(at(ready_, node, actor.parts), plan_.locals(node));
    if (actor.shards < ticks_) consider(at(folded_, node, actor.shards), plan_.locals(node));
    for (std::int64_t tick = 0; actor.returns == ticks_ && tick < ticks_; ++tick)
      consider(at(back_, node, tick), plan_.locals(node));
    if (next < kNever) push(next, What::kLook, rank);
  }
}

void LanesPlayer::begin_action(std::int64_t rank, double time, Doing doing, double folding,
                               double sending, const char* what, std::int64_t tick) {
  Actor& actor = actors_[rank];
  RankStep& mine = step_->ranks[rank];
  actor.doing = doing;
  actor.busy_until = time + folding + sending;
  const bool counts = !beside_ || actor.computing_ends > 0;
  if (counts) {
    mine.fold += folding;
    mine.other += sending;
  }
  if (step_->timeline != nullptr) {
    const Track track = beside_ ? Track::kMessages : Track::kCompute;
    step_->timeline->add(rank, track, Kind::kFold, what, time, time + folding,
                         static_cast<int>(plan_.bucket_of(tick)));
  }
  push(actor.busy_until, What::kLook, rank);
}

bool LanesPlayer::act(std::int64_t rank, double time) {
  Actor& actor = actors_[rank];
  const std::int64_t node = node_of(rank);
  const auto complete = [&](std::vector<Gathered>& rows, std::int64_t tick) {
    const Gathered& g = at(rows, node, tick);
    return g.count == plan_.locals(node) && g.last <= time;
  };
  const double factor = beside_ ? 1 : step_->ranks[rank].factor;
  if (!actor.merged) {  // lanes of the rank beyond the first
    actor.merged = true;
    double bytes = 0;
    for (const double bucket : plan_.bucket_bytes) bytes += bucket;
    const double seconds = plan_.merged_lanes(rank) * bytes * work_.add * factor;
    if (seconds > 0) {
      begin_action(rank, time, Doing::kMerge, seconds, 0, "adding its lanes", 0);
      return true;
    }
  }
  if (actor.parts < ticks_ && complete(ready_, actor.parts)) {
    const auto part = plan_.part(node, actor.parts);
    const double read = beside_ ? part.read / in_node_.bandwidth : 0;
    // On one node a part is a whole sum, whose blocks' squares are summed at once.
    const double squares = plan_.several ? 0 : part.size * work_.square;
    begin_action(rank, time, Doing::kPart,
                 (std::max(part.added * work_.add, read) + squares) * factor,
                 part.messages * between_.overhead, "adding a part", actor.parts);
    return true;
  }
  if (plan_.several && actor.shards < actor.parts && complete(folded_, actor.shards) &&
      (!plan_.owns(rank, actor.shards) || pieces_here_[rank * ticks_ + actor.shards] != 0)) {
    const bool owns = plan_.owns(rank, actor.shards);
    const auto shard = owns ? plan_.shard(actor.shards) : LanesPlan::Shard{};
    begin_action(rank, time, Doing::kShard,
                 (shard.added * work_.add + shard.size * work_.square) * factor,
                 (shard.messages_in + shard.messages_out) * between_.overhead, "adding a shard",
                 actor.shards);
    return true;
  }
  if (plan_.several && actor.returns < actor.shards &&
      (!plan_.comes_back || results_here_[rank * ticks_ + actor.returns] != 0)) {
    const auto sums = plan_.comes_back ? plan_.returned(node, actor.returns) : LanesPlan::Return{};
    begin_action(rank, time, Doing::kReturn, sums.bytes * work_.square * factor,
                 sums.messages * between_.overhead, "squares of sums", actor.returns);
    return true;
  }
  return false;
}

void LanesPlayer::acted(std::int64_t rank, double time) {
  Actor& actor = actors_[rank];
  const Doing doing = std::exchange(actor.doing, Doing::kNothing);
  if (doing == Doing::kPart) part_is_folded(rank, actor.parts++, time);
  if (doing == Doing::kShard) shard_is_summed(rank, actor.shards++, time);
  if (doing == Doing::kReturn) is_back(rank, actor.returns++, time);
}

void LanesPlayer::part_is_folded(std::int64_t rank, std::int64_t tick, double time) {
  const std::int64_t node = node_of(rank), local = local_of(rank);
  Gathered& folded = at(folded_, node, tick);
  folded.add(time, time + flag_);
  if (folded.count == plan_.locals(node)) wake_node(node, folded.last);
  if (!plan_.several) {
    actors_[rank].shards = tick + 1;
    actors_[rank].returns = tick + 1;
    is_back(rank, tick, time);
    return;
  }
  const auto part = plan_.part(node, tick);
  const Network::Flight flight = network_->send(rank, time, part.messages, part.bytes);
  if (step_->timeline != nullptr)
    step_->timeline->add(rank, Track::kMessages, Kind::kMessage, "a part to its owners", time,
                         flight.last, static_cast<int>(plan_.bucket_of(tick)), part.bytes);
  Gathered& pieces = at(pieces_, part_row(node, local), tick);
  pieces.add(flight.first, flight.last);
  if (pieces.count < senders_[part_row(node, local)]) return;
  const double incoming = plan_.shard(tick).bytes_in;
  for (std::int64_t owner = 0; owner < plan_.ranks; ++owner) {
    const auto span = plan_.parts_of(owner, tick, plan_.locals(node));
    if (local < span.first || local > span.last) continue;
    std::int64_t needed = span.last - span.first + 1;
    const std::int64_t last_node = plan_.nodes - 1;
    if (is_short(last_node)) {
      const auto whole = plan_.parts_of(owner, tick, plan_.locals(0));
      const auto rest = plan_.parts_of(owner, tick, plan_.locals(last_node));
      needed = whole.last - whole.first + 1 + rest.last - rest.first + 1;
    }
    Gathered& owned = at(owned_, owner, tick);
    owned.add(pieces.first, pieces.last);
    if (owned.count == needed)
      push(network_->receive(node_of(owner), owned.first, owned.last, incoming), What::kPieces,
           owner, tick);
  }
}

void LanesPlayer::shard_is_summed(std::int64_t rank, std::int64_t tick, double time) {
  if (!plan_.comes_back) {
    actors_[rank].returns = tick + 1;
    is_back(rank, tick, time);
    return;
  }
  if (!plan_.owns(rank, tick)) return;
  const auto shard = plan_.shard(tick);
  const Network::Flight flight = network_->send(rank, time, shard.messages_out, shard.bytes_out);
  if (step_->timeline != nullptr)
    step_->timeline->add(rank, Track::kMessages, Kind::kMessage, "a sum to all nodes", time,
                         flight.last, static_cast<int>(plan_.bucket_of(tick)), shard.bytes_out);
  const std::int64_t last_node = plan_.nodes - 1;
  for (const std::int64_t like : {std::int64_t{0}, last_node}) {
    if (like > 0 && !is_short(like)) continue;
    const auto span = plan_.parts_of(rank, tick, plan_.locals(like));
    for (std::int64_t l = span.first; l <= span.last; ++l) {
      const std::int64_t row = part_row(like, l);
      Gathered& results = at(results_, row, tick);
      results.add(flight.first, flight.last);
      if (results.count < owners_[row * ticks_ + tick]) continue;
      for (std::int64_t node = 0; node < plan_.nodes; ++node) {
        if (is_short(node) != is_short(like)) continue;
        const double bytes = plan_.returned(node, tick).bytes;
        push(network_->receive(node, results.first, results.last, bytes), What::kResults,
             first_of(node) + l, tick);
      }
    }
    if (last_node == 0) break;
  }
}

void LanesPlayer::is_back(std::int64_t rank, std::int64_t tick, double time) {
  const std::int64_t node = node_of(rank);
  Gathered& back = at(back_, node, tick);
  back.add(time, time + flag_);
  if (back.count == plan_.locals(node) && tick + 1 == ticks_) wake_node(node, back.last);
}

void LanesPlayer::exchange(StepPlay& step) {
  begin(step);
  for (std::int64_t rank = 0; rank < plan_.ranks; ++rank) {
    if (beside_) computes(rank, step.ranks[rank].start);
    push(step.ranks[rank].start, What::kLook, rank);
  }
  while (!queue_.empty()) {
    const Event event = queue_.top();
    queue_.pop();
    Actor& actor = actors_[event.rank];
    switch (event.what) {
      case What::kEdge:
        edge(event.rank, event.time);
        break;
      case What::kLook:
        look(event.rank, event.time);
        break;
      case What::kPieces:
        pieces_here_[event.rank * ticks_ + event.tick] = 1;
        if (beside_ || actor.waits_since >= 0) look(event.rank, event.time);
        break;
      case What::kResults:
        results_here_[event.rank * ticks_ + event.tick] = 1;
        if (beside_ || actor.waits_since >= 0) look(event.rank, event.time);
        break;
    }
  }
  end_step(step);
}

}  // namespace lockstep::plan
