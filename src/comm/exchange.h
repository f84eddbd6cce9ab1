// The messages between nodes: pieces of the nodes' partial sums to the owners of shards, and the
// sum back to whoever holds that part on each node. All requests are persistent and planned here.
#pragma once
#include <mpi.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "message_note.h"
#include "node_memory.h"

namespace lockstep::comm {

// The overlap of a rank's part and an owner's shard in one bucket: canonical nodes of range.size()
// elements each, one behind the other.
struct Piece {
  Range range;
  const PieceRows* form = nullptr;
  int rows = 0;
  float* base = nullptr;
  bool inbound = false;  // it comes by message
  float* row(int i) const { return form->at(base, i, range.size()); }
  std::int64_t floats() const { return form->floats(range.size()); }
};

class Exchange {
 public:
  // inbox: plan.inbox_floats floats. Keeps references to plan and memory.
  Exchange(MPI_Comm communicator, const FoldPlan& plan, const NodeMemory& memory, float* inbox);
  ~Exchange();
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;

  // Each starts or tests the messages of one bucket; the order within a step is that of this list.
  void receive_pieces(int b) { open(piece_receives_[b]); }
  void send_pieces(int b) { send(b, kPiece, piece_sends_, piece_bytes_); }
  void receive_results(int b) { open(result_receives_[b]); }
  bool pieces_here(int b) { return here(b, kPiece, piece_receives_[b]); }
  void send_results(int b) { send(b, kResult, result_sends_, result_bytes_); }
  bool results_here(int b) { return here(b, kResult, result_receives_[b]); }
  bool all_sent();

  // The piece that rank `local` of `node` has of this rank's shard of bucket b.
  const Piece& piece_in(int b, int node, int local) const;
  // The piece that this rank has of the shard of `position`.
  const Piece& piece_out(int b, int position) const { return out_[b][position]; }
  std::int64_t bytes_sent_since_last() { return std::exchange(bytes_sent_, 0); }

 private:
  static constexpr const char *kPiece = "piece of bucket", *kResult = "sum of bucket";
  struct Requests {
    std::vector<MPI_Request> list;
    std::vector<MessageNote> notes;  // of each
    bool open = false;               // started, and not seen to be done
  };
  void plan_pieces(int b, float*& inbox_end);
  void plan_results(int b);
  float* outbox_piece(int b, int local, const Range& range) const;
  void open(Requests& requests);
  void send(int b, const char* what, std::vector<Requests>& requests,
            const std::vector<std::int64_t>& bytes);
  bool here(int b, const char* what, Requests& requests);
  bool test(Requests& requests);
  MessageNote note(std::int64_t count, int position) const {
    return {plan_.topology.rank_at[position], count * static_cast<std::int64_t>(sizeof(float))};
  }
  void add_send(Requests& requests, std::int64_t& bytes, const float* data, std::int64_t count,
                int position, int tag);
  void add_receive(Requests& requests, float* data, std::int64_t count, int position, int tag);

  MPI_Comm communicator_;
  const FoldPlan& plan_;
  const NodeMemory& memory_;
  std::vector<std::vector<Piece>> in_, out_;             // bucket, position
  std::vector<std::vector<std::int64_t>> outbox_begin_;  // local, bucket
  std::vector<Requests> piece_receives_, piece_sends_, result_receives_, result_sends_;
  std::vector<std::int64_t> piece_bytes_, result_bytes_;
  std::int64_t bytes_sent_ = 0;
};

}  // namespace lockstep::comm
