#include "flat_messages.h"

#include <exception>

#include "lockstep/core/error.h"
#include "mpi_call.h"

namespace lockstep::comm {
namespace {

constexpr int kTag = 0;

MessageNote note(std::int64_t count, int rank) {
  return {rank, count * static_cast<std::int64_t>(sizeof(float))};
}

}  // namespace

MessageGroup::~MessageGroup() {
  if (std::uncaught_exceptions() > 0) return;  // messages may be in flight; the run ends
  for (MPI_Request& request : requests_) MPI_Request_free(&request);
}

void MessageGroup::add_send(MPI_Comm communicator, const float* data, std::int64_t count,
                            int rank) {
  bytes_ += count * static_cast<std::int64_t>(sizeof(float));
  for (const Chunk& chunk : chunks(count)) {
    notes_.push_back(note(chunk.count, rank));
    check_mpi(MPI_Send_init(data + chunk.begin, chunk.count, MPI_FLOAT, rank, kTag, communicator,
                            &requests_.emplace_back()),
              "MPI_Send_init");
  }
}

void MessageGroup::add_receive(MPI_Comm communicator, float* data, std::int64_t count, int rank) {
  bytes_ += count * static_cast<std::int64_t>(sizeof(float));
  for (const Chunk& chunk : chunks(count)) {
    notes_.push_back(note(chunk.count, rank));
    receives_ = true;
    check_mpi(MPI_Recv_init(data + chunk.begin, chunk.count, MPI_FLOAT, rank, kTag, communicator,
                            &requests_.emplace_back()),
              "MPI_Recv_init");
  }
}

void MessageGroup::start(const char* what, int number) {
  LOCKSTEP_CHECK(!started_, "messages are started that are under way");
  // One by one: MPI_Startall may start them in any order, and those for one peer share a tag.
  for (std::size_t i = 0; i < requests_.size(); ++i) {
    if (!receives_) events::sent(what, notes_[i].bytes, number, notes_[i].peer);
    check_mpi(MPI_Start(&requests_[i]), "MPI_Start");
  }
  what_ = what;
  number_ = number;
  started_ = !requests_.empty();
}

bool MessageGroup::done() {
  if (!started_) return true;
  int done = 0;
  check_mpi(
      MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done, MPI_STATUSES_IGNORE),
      "MPI_Testall");
  started_ = done == 0;
  if (!started_ && receives_) note_arrivals(what_, number_, notes_);
  return done != 0;
}

}  // namespace lockstep::comm
