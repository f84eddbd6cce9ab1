#include "round_exchange.h"

namespace lockstep::comm {

RoundExchange::RoundExchange(MPI_Comm communicator, const RoundPlan& plan,
                             const RoundMemory& memory)
    : communicator_(communicator),
      plan_(plan),
      memory_(memory),
      inbox_(plan.inbox_bytes()),
      messages_(std::make_unique<Messages[]>(
          static_cast<std::size_t>(plan.shapes * plan.buckets() * 2))) {
  std::vector<bool> planned(static_cast<std::size_t>(plan.shapes) * plan.buckets() * 2);
  for (int tick = 0; tick < plan.ticks(); ++tick) {
    Messages& of_tick = messages(tick);
    const auto index = static_cast<std::size_t>(&of_tick - messages_.get());
    if (planned[index]) continue;
    planned[index] = true;
    plan_messages(tick, of_tick);
  }
}

// Pieces of other nodes lie one behind the other in the order of their positions.
Piece RoundExchange::piece_in(int tick, int position) const {
  const Topology& topology = plan_.topology;
  const int b = plan_.bucket_of(tick), node = topology.node_of[position];
  const Round& round = plan_.rounds[plan_.round_of(tick)];
  const auto& rows = round.rows;
  const Range shard = plan_.shards.range(b, topology.position);
  Piece piece{overlap(plan_.part(node, b, position - topology.node_begin[node]), shard),
              &rows[node], rows[node].size()};
  piece.inbound = node != topology.node();
  if (!piece.inbound) {
    const int local = position - topology.node_begin[node];
    piece.base = memory_.outbox(local) + plan_.outbox_place(tick, local, piece.range);
    return piece;
  }
  piece.base = reinterpret_cast<float*>(inbox_.data()) + (tick % 2) * plan_.inbox_floats +
               round.halves_before[node] * shard.size() / 2;
  if (piece.range.size() > 0) piece.base += rows[node].floats(piece.range.begin - shard.begin);
  return piece;
}

Piece RoundExchange::piece_out(int tick, int position) const {
  const Topology& topology = plan_.topology;
  const int b = plan_.bucket_of(tick), node = topology.node(), local = topology.local();
  const PieceRows& rows = plan_.rounds[plan_.round_of(tick)].rows[node];
  Piece piece{overlap(plan_.part(node, b, local), plan_.shards.range(b, position)), &rows,
              rows.size()};
  piece.base = memory_.outbox(local) + plan_.outbox_place(tick, local, piece.range);
  return piece;
}

void RoundExchange::plan_messages(int tick, Messages& messages) {
  const Topology& topology = plan_.topology;
  for (int position = 0; position < topology.ranks(); ++position) {
    if (topology.node_of[position] == topology.node()) continue;
    const Piece in = piece_in(tick, position), out = piece_out(tick, position);
    const int rank = topology.rank_at[position];
    messages.receives.add_receive(communicator_, in.base, in.floats(), rank);
    messages.sends.add_send(communicator_, out.base, out.floats(), rank);
  }
}

void RoundExchange::send(int tick) {
  messages(tick).sends.start(kText, plan_.bucket_of(tick));
  bytes_sent_ += messages(tick).sends.bytes();
}

}  // namespace lockstep::comm
