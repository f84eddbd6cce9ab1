// Shuffle::kFull between nodes: brings the samples of this rank's lanes into the slots of their
// windows, from the node's memory by copy and from other nodes by message. Which rows a window has
// is a function of seed, epoch and lane, and so every rank knows what it sends and gets: no sizes,
// no requests, no barrier. A thread of its own gathers rows; MPI is called in advance() alone.
#pragma once
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "held_rows.h"
#include "lockstep/comm/byte_messages.h"
#include "order.h"
#include "window_store.h"

namespace lockstep::data {

class FullExchange {
 public:
  // Slots of a lane: the window that is being used, two whose messages are under way, and one
  // whose rows are being gathered.
  static constexpr int kSlots = 4;
  using Lanes = std::vector<std::vector<std::int64_t>>;  // by position, in the order of its places
  // Room for what this rank sends of kSlots windows: what is to be expected, and some more.
  static std::size_t bytes_for(const comm::Topology& topology, const Lanes& lanes,
                               const Samples& samples, const Cuts& cuts);

  // Collective. Windows are numbered through the epochs, as Prefetch does; `first` is the one that
  // will be used first. All ranks take the same `whole_node`: advance() returns when the lanes of
  // all ranks of the node are there, which may be read by any of them.
  FullExchange(comm::Communicator& communicator, const Samples& samples, const HeldRows& held,
               const LoaderOptions& options, const Cuts& cuts, WindowStore& store, Lanes lanes,
               std::int64_t first, bool whole_node);
  // Collective, unless an exception is on its way: completes what was posted.
  ~FullExchange();
  FullExchange(const FullExchange&) = delete;
  FullExchange& operator=(const FullExchange&) = delete;

  // On all ranks with the same ascending numbers, when nobody uses an earlier window any more: the
  // window is in its lanes' slots on return. Returns the seconds waited.
  double advance(std::int64_t number);
  std::int64_t bytes_sent() const { return messages_->bytes_sent(); }

 private:
  struct Send {
    int to = 0;                      // position
    std::size_t begin = 0, end = 0;  // in Round::out
  };
  struct Receive {
    int from = 0;  // position
    std::vector<std::span<std::byte>> pieces;
  };
  // What a window needs, ready to be posted. Written by the thread, until it is gathered.
  struct Round {
    std::unique_ptr<std::byte[]> out;
    std::size_t room = 0, used = 0;
    std::vector<Send> sends;
    std::vector<Receive> receives;  // by node; nothing from this one
  };

  Round& round(std::int64_t number) { return rounds_[static_cast<std::size_t>(number % kSlots)]; }
  void work();
  void gather(std::int64_t number);
  void gather_for(int position, std::int64_t number, Round& round);
  void gather_lane(int place, std::int64_t number, Round& round);
  // The rows of a lane's window, in the order of the epoch.
  void find_rows(std::int64_t lane, std::int64_t number);
  std::byte* reserve(Round& round, std::size_t bytes);
  double post(std::int64_t number);
  double complete(std::int64_t number, bool sends);
  double wait(const char* what, const std::function<bool()>& ready);

  const comm::Topology& topology_;
  const Samples& samples_;
  const HeldRows& held_;
  const LoaderOptions& options_;
  const Cuts cuts_;
  WindowStore& store_;
  const Lanes lanes_;
  const bool whole_node_;
  std::vector<int> receivers_;  // positions that this rank sends to
  std::unique_ptr<comm::ByteMessages> messages_;
  std::array<Round, kSlots> rounds_;

  std::int64_t current_ = -1;           // Main thread: the last window that was asked for,
  std::int64_t sent_, here_;            // those before are sent, or here,
  std::int64_t posted_;                 // and those before are posted or were left out.
  std::atomic<std::int64_t> gathered_;  // those before are gathered or were left out
  std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t wanted_, limit_;  // windows that are to be gathered
  bool stop_ = false;
  std::exception_ptr error_;
  std::atomic<bool> failed_{false};

  // Thread only:
  std::optional<EpochOrder> order_;
  std::int64_t epoch_ = -1;
  std::vector<std::int64_t> rows_;
  std::vector<std::int64_t> of_node_;  // rows of a lane's window, by node; then where the next goes
  std::thread thread_;                 // last: starts when all else is there
};

}  // namespace lockstep::data
