// Persistent messages that are started and awaited together: those of one bucket or of one use.
// Messages of a pair of ranks match in the order in which they are started. `number` is that of the
// bucket or the use, for a timeline.
#pragma once
#include <mpi.h>

#include <cstdint>
#include <vector>

#include "message_note.h"

namespace lockstep::comm {

class MessageGroup {
 public:
  MessageGroup() = default;
  ~MessageGroup();
  MessageGroup(const MessageGroup&) = delete;
  MessageGroup& operator=(const MessageGroup&) = delete;

  void add_send(MPI_Comm communicator, const float* data, std::int64_t count, int rank);
  void add_receive(MPI_Comm communicator, float* data, std::int64_t count, int rank);
  void start(const char* what, int number);  // what they carry: a literal, for timelines
  bool done();                               // those that were started
  std::int64_t bytes() const { return bytes_; }

 private:
  std::vector<MPI_Request> requests_;
  std::vector<MessageNote> notes_;  // of each
  bool receives_ = false;
  const char* what_ = "";
  int number_ = -1;
  std::int64_t bytes_ = 0;
  bool started_ = false;
};

}  // namespace lockstep::comm
