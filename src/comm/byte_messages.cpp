#include "lockstep/comm/byte_messages.h"

#include <mpi.h>

#include <algorithm>
#include <exception>
#include <vector>

#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "mpi_call.h"
#include "mpi_communicator.h"

namespace lockstep::comm {
namespace {

constexpr int kTag = 0;

class MpiByteMessages final : public ByteMessages {
 public:
  MpiByteMessages(MpiCommunicator& communicator, int rounds, int messages)
      : communicator_(communicator), receives_(rounds), sends_(rounds) {
    for (auto* all : {&receives_, &sends_}) {
      for (Requests& requests : *all) requests.reserve(static_cast<std::size_t>(messages));
    }
    check_mpi(MPI_Comm_dup(communicator.world(), &messages_), "MPI_Comm_dup");
  }

  ~MpiByteMessages() override {
    if (std::uncaught_exceptions() > 0) return;  // messages may be in flight; the run ends
    MPI_Comm_free(&messages_);
  }

  void receive(int round, int from, Pieces pieces) override {
    const Presence presence(communicator_.progress_thread());
    const std::int64_t bytes = describe(pieces);
    if (bytes == 0) return;
    MPI_Request& request = receives_[round].emplace_back();
    post([&](void* at, int count, MPI_Datatype type) {
      check_mpi(MPI_Irecv(at, count, type, rank_of(from), kTag, messages_, &request), "MPI_Irecv");
    });
  }

  void send(int round, int to, Pieces pieces) override {
    const Presence presence(communicator_.progress_thread());
    const std::int64_t bytes = describe(pieces);
    if (bytes == 0) return;
    bytes_sent_ += bytes;
    events::sent("samples", bytes, round, rank_of(to));
    MPI_Request& request = sends_[round].emplace_back();
    post([&](void* at, int count, MPI_Datatype type) {
      check_mpi(MPI_Isend(at, count, type, rank_of(to), kTag, messages_, &request), "MPI_Isend");
    });
  }

  bool received(int round) override { return done(receives_[round]); }
  bool sent(int round) override { return done(sends_[round]); }

  double wait(const char* what, std::int64_t step, const std::function<bool()>& ready) override {
    return communicator_.wait({what, -1, step}, ready);
  }
  std::int64_t bytes_sent() const override { return bytes_sent_; }

 private:
  using Requests = std::vector<MPI_Request>;

  int rank_of(int position) const { return communicator_.topology().rank_at[position]; }

  // Notes where the pieces lie, each in chunks whose lengths fit an int.
  std::int64_t describe(Pieces pieces) {
    lengths_.clear();
    places_.clear();
    std::int64_t bytes = 0;
    for (const std::span<std::byte>& piece : pieces) {
      const auto size = static_cast<std::int64_t>(piece.size());
      for (std::int64_t begin = 0; begin < size; begin += message_limit()) {
        lengths_.push_back(static_cast<int>(std::min(message_limit(), size - begin)));
        if (lengths_.size() == 1) first_ = piece.data() + begin;
        MPI_Aint& place = places_.emplace_back();
        check_mpi(MPI_Get_address(piece.data() + begin, &place), "MPI_Get_address");
      }
      bytes += size;
    }
    return bytes;
  }

  template <class Call>
  void post(const Call& call) {
    if (lengths_.size() == 1) {
      call(first_, lengths_[0], MPI_BYTE);
      return;
    }
    MPI_Datatype type = MPI_DATATYPE_NULL;
    check_mpi(MPI_Type_create_hindexed(static_cast<int>(lengths_.size()), lengths_.data(),
                                       places_.data(), MPI_BYTE, &type),
              "MPI_Type_create_hindexed");
    check_mpi(MPI_Type_commit(&type), "MPI_Type_commit");
    call(MPI_BOTTOM, 1, type);
    check_mpi(MPI_Type_free(&type), "MPI_Type_free");  // when the message is done
  }

  // Keeps the room.
  bool done(Requests& requests) {
    if (requests.empty()) return true;
    int flag = 0;
    check_mpi(
        MPI_Testall(static_cast<int>(requests.size()), requests.data(), &flag, MPI_STATUSES_IGNORE),
        "MPI_Testall");
    if (flag != 0) requests.clear();
    return flag != 0;
  }

  MpiCommunicator& communicator_;
  MPI_Comm messages_ = MPI_COMM_NULL;
  std::vector<Requests> receives_, sends_;  // by round
  std::vector<int> lengths_;                // of the message that is being posted
  std::vector<MPI_Aint> places_;
  std::byte* first_ = nullptr;
  std::int64_t bytes_sent_ = 0;
};

}  // namespace

std::unique_ptr<ByteMessages> make_byte_messages(Communicator& communicator, int rounds,
                                                 int messages) {
  auto* const mpi = dynamic_cast<MpiCommunicator*>(&communicator);
  LOCKSTEP_CHECK(mpi != nullptr, "a run of one process sends nothing");
  return std::make_unique<MpiByteMessages>(*mpi, rounds, messages);
}

}  // namespace lockstep::comm
