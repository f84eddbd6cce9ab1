#include "exchange.h"

#include <algorithm>
#include <exception>

#include "mpi_call.h"

namespace lockstep::comm {
namespace {

// Messages of a pair of ranks keep their order, so that tags may come round again.
constexpr int kTags = 8192;
int piece_tag(int b) { return 2 * (b % kTags); }
int result_tag(int b) { return 2 * (b % kTags) + 1; }

}  // namespace

Exchange::Exchange(MPI_Comm communicator, const FoldPlan& plan, const NodeMemory& memory,
                   float* inbox)
    : communicator_(communicator),
      plan_(plan),
      memory_(memory),
      in_(plan.buckets()),
      out_(plan.buckets()),
      piece_receives_(plan.buckets()),
      piece_sends_(plan.buckets()),
      result_receives_(plan.buckets()),
      result_sends_(plan.buckets()),
      piece_bytes_(plan.buckets()),
      result_bytes_(plan.buckets()) {
  const int node = plan.topology.node();
  for (int l = 0; l < plan.topology.local_ranks(); ++l) {
    std::int64_t at = 0;
    auto& begin = outbox_begin_.emplace_back();
    for (int b = 0; b < plan.buckets(); ++b) {
      begin.push_back(at);
      at += plan.rows(node).floats(plan.part(node, b, l).size());
    }
  }
  for (int b = 0; b < plan.buckets(); ++b) {
    plan_pieces(b, inbox);
    if (plan.returns()) plan_results(b);
  }
}

Exchange::~Exchange() {
  if (std::uncaught_exceptions() > 0) return;  // messages may be in flight; the run ends
  for (auto* buckets : {&piece_receives_, &piece_sends_, &result_receives_, &result_sends_}) {
    for (Requests& requests : *buckets) {
      for (MPI_Request& request : requests.list) MPI_Request_free(&request);
    }
  }
}

// A part's pieces lie in its outbox in the order of their owners, `rows` rows each.
float* Exchange::outbox_piece(int b, int local, const Range& range) const {
  const int node = plan_.topology.node();
  return memory_.outbox(local) + outbox_begin_[local][b] +
         plan_.rows(node).floats(range.begin - plan_.part(node, b, local).begin);
}

void Exchange::plan_pieces(int b, float*& inbox_end) {
  const Topology& topology = plan_.topology;
  const int me = topology.position, my_node = topology.node();
  for (int position = 0; position < topology.ranks(); ++position) {
    const int node = topology.node_of[position], local = position - topology.node_begin[node];
    Piece in{overlap(plan_.part(node, b, local), plan_.shard(b, me)), &plan_.rows(node),
             plan_.canonical(node)};
    in.inbound = node != my_node;
    if (in.inbound) {
      in.base = inbox_end;
      inbox_end += in.floats();
      add_receive(piece_receives_[b], in.base, in.floats(), position, piece_tag(b));
    } else {
      in.base = outbox_piece(b, local, in.range);
    }
    in_[b].push_back(in);

    Piece out{overlap(plan_.part(my_node, b, topology.local()), plan_.shard(b, position)),
              &plan_.rows(my_node), plan_.canonical(my_node)};
    out.base = outbox_piece(b, topology.local(), out.range);
    if (node != my_node) {
      add_send(piece_sends_[b], piece_bytes_[b], out.base, out.floats(), position, piece_tag(b));
    }
    out_[b].push_back(out);
  }
}

// The sum of a piece goes back the way it came. An owner finds it in its node's windows, where a
// piece may lie in those of several ranks: one message for each.
void Exchange::plan_results(int b) {
  const Topology& topology = plan_.topology;
  const int my_node = topology.node();
  const auto each_home = [&](const Range& piece, int node, auto&& action) {
    const int locals = topology.node_begin[node + 1] - topology.node_begin[node];
    for (int l = 0; l < locals; ++l) action(overlap(piece, plan_.part(node, b, l)), l);
  };
  for (int position = 0; position < topology.ranks(); ++position) {
    const int node = topology.node_of[position];
    if (node == my_node) continue;
    each_home(in_[b][position].range, my_node, [&](const Range& range, int local) {
      add_send(result_sends_[b], result_bytes_[b], memory_.result(local) + range.begin,
               range.size(), position, result_tag(b));
    });
    each_home(out_[b][position].range, node, [&](const Range& range, int) {
      add_receive(result_receives_[b], memory_.result(topology.local()) + range.begin, range.size(),
                  position, result_tag(b));
    });
  }
}

const Piece& Exchange::piece_in(int b, int node, int local) const {
  return in_[b][plan_.topology.node_begin[node] + local];
}

void Exchange::add_send(Requests& requests, std::int64_t& bytes, const float* data,
                        std::int64_t count, int position, int tag) {
  bytes += count * static_cast<std::int64_t>(sizeof(float));
  for (const Chunk& chunk : chunks(count)) {
    requests.notes.push_back(note(chunk.count, position));
    check_mpi(
        MPI_Send_init(data + chunk.begin, chunk.count, MPI_FLOAT, plan_.topology.rank_at[position],
                      tag, communicator_, &requests.list.emplace_back()),
        "MPI_Send_init");
  }
}

void Exchange::add_receive(Requests& requests, float* data, std::int64_t count, int position,
                           int tag) {
  for (const Chunk& chunk : chunks(count)) {
    requests.notes.push_back(note(chunk.count, position));
    check_mpi(
        MPI_Recv_init(data + chunk.begin, chunk.count, MPI_FLOAT, plan_.topology.rank_at[position],
                      tag, communicator_, &requests.list.emplace_back()),
        "MPI_Recv_init");
  }
}

// One by one: MPI_Startall may start them in any order, and pieces for one peer share a tag.
void Exchange::open(Requests& requests) {
  for (MPI_Request& request : requests.list) check_mpi(MPI_Start(&request), "MPI_Start");
  requests.open = true;
}

void Exchange::send(int b, const char* what, std::vector<Requests>& requests,
                    const std::vector<std::int64_t>& bytes) {
  for (std::size_t i = 0; i < requests[b].list.size(); ++i) {
    const MessageNote& note = requests[b].notes[i];
    events::sent(what, note.bytes, b, note.peer);
    check_mpi(MPI_Start(&requests[b].list[i]), "MPI_Start");
  }
  bytes_sent_ += bytes[b];
}

bool Exchange::here(int b, const char* what, Requests& requests) {
  if (!test(requests)) return false;
  if (std::exchange(requests.open, false)) note_arrivals(what, b, requests.notes);
  return true;
}

bool Exchange::test(Requests& requests) {
  if (requests.list.empty()) return true;
  int done = 0;
  check_mpi(MPI_Testall(static_cast<int>(requests.list.size()), requests.list.data(), &done,
                        MPI_STATUSES_IGNORE),
            "MPI_Testall");
  return done != 0;
}

bool Exchange::all_sent() {
  for (int b = 0; b < plan_.buckets(); ++b) {
    if (!test(piece_sends_[b]) || !test(result_sends_[b])) return false;
  }
  return true;
}

}  // namespace lockstep::comm
