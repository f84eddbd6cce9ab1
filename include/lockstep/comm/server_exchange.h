// What the ranks of a parameter server say to each other: parcels, which both sides plan once and
// start again and again, and letters, small and of one size, which nobody has to expect. Positions
// only; knows nothing of what parcels and letters mean.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/comm/fold.h"

namespace lockstep::comm {

// Positions [0, workers) compute, the last ones serve: position 0, which reports, computes.
struct ServerRoles {
  int ranks = 1, servers = 1;
  int workers() const { return ranks - servers; }
  bool serves(int position) const { return position >= workers(); }
  int position_of(int server) const { return workers() + server; }
};

// For the thread that made the communicator alone. Nothing may be in flight when it goes.
class ServerExchange {
 public:
  virtual ~ServerExchange() = default;

  // A parcel: pieces of memory, in the same sizes and order on both sides. Parcels of a pair of
  // positions with one tag arrive in the order in which they were started. Tags: [0, 16384).
  virtual int plan_send(int to, int tag, std::span<const std::span<std::byte>> pieces) = 0;
  virtual int plan_receive(int from, int tag, std::span<const std::span<std::byte>> pieces) = 0;
  virtual void start(int parcel) = 0;
  // What it sends may be overwritten, what it receives is here; also if it was never started.
  virtual bool done(int parcel) = 0;

  // The bytes are copied. Letters of a pair of positions keep their order. So many may be under way
  // at once; with more this rank waits until one has left.
  virtual void post(int to, std::span<const std::byte> letter) = 0;
  // The position that sent the letter; -1: none has arrived.
  virtual int take(std::span<std::byte> letter) = 0;
  virtual bool all_posted() = 0;  // every letter has left

  // Waits for what `ready` looks at, under the watchdog. Returns the seconds waited.
  virtual double wait(const char* what, std::int64_t step, const std::function<bool()>& ready) = 0;
  virtual std::int64_t bytes_sent() const = 0;
};

// Collective; on two ranks or more.
std::unique_ptr<ServerExchange> make_server_exchange(Communicator& communicator,
                                                     std::size_t letter_bytes);

// Collective. The fold of a parameter server: the workers' lanes, cut_lanes() over the workers, are
// merged on each worker, and its canonical nodes go to the servers, bucket by bucket, each server
// getting its shard (Shards over the servers) of each bucket. Records and block values are for
// everybody, sum(block) for the server that owns it. Record `lanes + k` is that of server k, which
// sets it too. device: a worker's, where its leaves are written; a server has none.
std::unique_ptr<Fold> make_server_fold(Communicator& communicator, const FoldLayout& layout,
                                       int servers, const FoldArithmetic& arithmetic,
                                       const FoldDevice& device = {});

}  // namespace lockstep::comm
