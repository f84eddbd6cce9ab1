#include "lockstep/comm/server_exchange.h"

#include <mpi.h>

#include <cstring>
#include <exception>

#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "mpi_call.h"
#include "mpi_communicator.h"

namespace lockstep::comm {
namespace {

constexpr int kLetterTag = 16384;  // MPI guarantees tags up to 32767
constexpr int kLetters = 64;       // under way at once; small enough that MPI buffers them all

class MessageExchange final : public ServerExchange {
 public:
  MessageExchange(MpiCommunicator& communicator, std::size_t letter_bytes)
      : communicator_(communicator),
        topology_(communicator.topology()),
        letter_bytes_(letter_bytes),
        letters_(letter_bytes * kLetters),
        letter_requests_(kLetters, MPI_REQUEST_NULL),
        position_of_(topology_.ranks()) {
    check_mpi(MPI_Comm_dup(communicator.world(), &messages_), "MPI_Comm_dup");
    for (int p = 0; p < topology_.ranks(); ++p) position_of_[topology_.rank_at[p]] = p;
  }

  ~MessageExchange() override {
    if (std::uncaught_exceptions() > 0) return;  // messages may be in flight; the run ends
    for (Parcel& parcel : parcels_) {
      for (MPI_Request& request : parcel.requests) MPI_Request_free(&request);
    }
    MPI_Comm_free(&messages_);
  }

  int plan_send(int to, int tag, std::span<const std::span<std::byte>> pieces) override {
    return plan(to, tag, pieces, true);
  }
  int plan_receive(int from, int tag, std::span<const std::span<std::byte>> pieces) override {
    return plan(from, tag, pieces, false);
  }

  void start(int index) override {
    Parcel& parcel = parcels_[index];
    // One by one: MPI_Startall may start them in any order, and all share a tag.
    for (MPI_Request& request : parcel.requests) check_mpi(MPI_Start(&request), "MPI_Start");
    bytes_sent_ += parcel.bytes;
    if (parcel.bytes > 0) events::sent("a parcel", parcel.bytes, index, parcel.peer);
  }

  bool done(int index) override {
    auto& requests = parcels_[index].requests;
    if (requests.empty()) return true;
    int flag = 0;
    check_mpi(
        MPI_Testall(static_cast<int>(requests.size()), requests.data(), &flag, MPI_STATUSES_IGNORE),
        "MPI_Testall");
    return flag != 0;
  }

  void post(int to, std::span<const std::byte> letter) override {
    LOCKSTEP_CHECK(letter.size() == letter_bytes_, "a letter of {} bytes", letter.size());
    MPI_Request& request = letter_requests_[next_letter_];
    wait("a letter to leave", -1, [&] {
      int flag = 0;
      check_mpi(MPI_Test(&request, &flag, MPI_STATUS_IGNORE), "MPI_Test");
      return flag != 0;
    });
    std::byte* const place = letters_.data() + next_letter_ * letter_bytes_;
    std::memcpy(place, letter.data(), letter_bytes_);
    check_mpi(MPI_Isend(place, static_cast<int>(letter_bytes_), MPI_BYTE, topology_.rank_at[to],
                        kLetterTag, messages_, &request),
              "MPI_Isend");
    next_letter_ = (next_letter_ + 1) % kLetters;
    bytes_sent_ += static_cast<std::int64_t>(letter_bytes_);
    events::sent("a letter", static_cast<std::int64_t>(letter_bytes_), -1, topology_.rank_at[to]);
  }

  int take(std::span<std::byte> letter) override {
    LOCKSTEP_CHECK(letter.size() == letter_bytes_, "a letter of {} bytes", letter.size());
    int flag = 0;
    MPI_Status status;
    check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, kLetterTag, messages_, &flag, &status), "MPI_Iprobe");
    if (!flag) return -1;
    check_mpi(MPI_Recv(letter.data(), static_cast<int>(letter_bytes_), MPI_BYTE, status.MPI_SOURCE,
                       kLetterTag, messages_, MPI_STATUS_IGNORE),
              "MPI_Recv");
    return position_of_[status.MPI_SOURCE];
  }

  bool all_posted() override {
    int flag = 0;
    check_mpi(MPI_Testall(kLetters, letter_requests_.data(), &flag, MPI_STATUSES_IGNORE),
              "MPI_Testall");
    return flag != 0;
  }

  double wait(const char* what, std::int64_t step, const std::function<bool()>& ready) override {
    return communicator_.wait({what, -1, step}, ready);
  }
  std::int64_t bytes_sent() const override { return bytes_sent_; }

 private:
  struct Parcel {
    std::vector<MPI_Request> requests;
    std::int64_t bytes = 0;  // that it sends
    int peer = -1;           // a rank
  };

  int plan(int peer, int tag, std::span<const std::span<std::byte>> pieces, bool send) {
    LOCKSTEP_CHECK(0 <= tag && tag < kLetterTag, "tag {}", tag);
    Parcel& parcel = parcels_.emplace_back();
    const int rank = parcel.peer = topology_.rank_at[peer];
    for (const std::span<std::byte>& piece : pieces) {
      const auto bytes = static_cast<std::int64_t>(piece.size());
      if (send) parcel.bytes += bytes;
      for (const Chunk& chunk : chunks(bytes)) {
        MPI_Request& request = parcel.requests.emplace_back();
        std::byte* const at = piece.data() + chunk.begin;
        check_mpi(send ? MPI_Send_init(at, chunk.count, MPI_BYTE, rank, tag, messages_, &request)
                       : MPI_Recv_init(at, chunk.count, MPI_BYTE, rank, tag, messages_, &request),
                  send ? "MPI_Send_init" : "MPI_Recv_init");
      }
    }
    return static_cast<int>(parcels_.size()) - 1;
  }

  MpiCommunicator& communicator_;
  const Topology& topology_;
  const std::size_t letter_bytes_;
  MPI_Comm messages_ = MPI_COMM_NULL;
  std::vector<Parcel> parcels_;
  std::vector<std::byte> letters_;
  std::vector<MPI_Request> letter_requests_;
  std::size_t next_letter_ = 0;
  std::vector<int> position_of_;  // by rank
  std::int64_t bytes_sent_ = 0;
};

}  // namespace

std::unique_ptr<ServerExchange> make_server_exchange(Communicator& communicator,
                                                     std::size_t letter_bytes) {
  auto* const mpi = dynamic_cast<MpiCommunicator*>(&communicator);
  LOCKSTEP_CHECK(mpi != nullptr, "a run of one process serves nobody");
  return std::make_unique<MessageExchange>(*mpi, letter_bytes);
}

}  // namespace lockstep::comm
