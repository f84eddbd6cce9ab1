// Messages of bytes between positions, of which both sides know when they come and how long they
// are: nothing else is sent. They go in rounds; what belongs to one is awaited together. Knows
// nothing of what the bytes mean.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "lockstep/comm/communicator.h"

namespace lockstep::comm {

// For the thread that made the communicator alone. Nothing may be in flight when it goes.
class ByteMessages {
 public:
  using Pieces = std::span<const std::span<std::byte>>;
  virtual ~ByteMessages() = default;

  // Pieces of memory, one behind the other, are one message; the other side may cut it otherwise.
  // Messages of a pair of positions match in the order in which they are posted. Empty: none.
  virtual void receive(int round, int from, Pieces pieces) = 0;
  virtual void send(int round, int to, Pieces pieces) = 0;
  // Whether all of a round is here, or may be overwritten; then the round may be used again.
  virtual bool received(int round) = 0;
  virtual bool sent(int round) = 0;

  // Waits for what `ready` looks at, under the watchdog. Returns the seconds waited.
  virtual double wait(const char* what, std::int64_t step, const std::function<bool()>& ready) = 0;
  virtual std::int64_t bytes_sent() const = 0;
};

// Collective; on two ranks or more. A round has at most so many messages in each direction.
std::unique_ptr<ByteMessages> make_byte_messages(Communicator& communicator, int rounds,
                                                 int messages);

}  // namespace lockstep::comm
