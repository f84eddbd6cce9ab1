// Ranks that talk. The only component that calls MPI. A run of one process uses the self
// communicator through the same code. Knows nothing of models; arithmetic is handed in.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lockstep/comm/mesh.h"

namespace lockstep::comm {

// Where ranks sit. Positions are what lanes and shards go by: ranks sorted by (lowest rank of their
// node, local rank), so that any placement works (NUMERICS.md 20).
struct Topology {
  int position = 0;             // of this rank
  std::vector<int> rank_at;     // position -> rank
  std::vector<int> node_of;     // position -> node, nodes numbered in order of position
  std::vector<int> node_begin;  // node -> first position; nodes + 1 entries
  int ranks() const { return static_cast<int>(rank_at.size()); }
  int nodes() const { return static_cast<int>(node_begin.size()) - 1; }
  int node() const { return node_of[position]; }
  int local() const { return position - node_begin[node()]; }
  int local_ranks() const { return node_begin[node() + 1] - node_begin[node()]; }
};

// A piece of memory per rank of a node that all ranks of the node can read and write. On one rank
// it is private memory. Sized once; each part is touched first by its owner, 64-byte aligned.
class SharedWindow {
 public:
  virtual ~SharedWindow() = default;
  virtual std::byte* part(int local_rank) const = 0;
  virtual std::size_t bytes(int local_rank) const = 0;
};

// What the waits of this rank have cost, in seconds.
struct WaitTimes {
  double exposed = 0;  // waited in finish(), with nothing else to do
  double hidden = 0;   // communication in flight while this rank computed
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual const Topology& topology() const = 0;
  // What positions are dealt along: all of them along "data".
  Mesh mesh() const { return Mesh({{kDataAxis, size()}}); }

  // Small synchronous collectives for set-up, checkpoints and the end of evaluation; all ranks
  // call.
  virtual void barrier() = 0;
  virtual void broadcast(std::span<std::byte> bytes, int root_rank) = 0;
  // Every rank's bytes, concatenated by POSITION. Sizes may differ.
  virtual std::vector<std::byte> gather_all(std::span<const std::byte> mine) = 0;
  // Every rank's bytes to root_rank: visit(position, bytes) is called there, in order of position.
  // Not more than one message is in its memory. What visit throws is thrown on the root when all
  // messages are through, so that together() may surround the call.
  virtual void gather(std::span<const std::byte> mine, int root_rank,
                      const std::function<void(int, std::span<const std::byte>)>& visit) = 0;
  virtual std::int64_t min(std::int64_t value) = 0;
  virtual std::int64_t max(std::int64_t value) = 0;

  // Collective over the ranks of a node; bytes may differ per rank. `purpose` is named in errors.
  // Throws UserError if /dev/shm is too small (statvfs against the node's total comes first).
  virtual std::unique_ptr<SharedWindow> make_window(std::size_t bytes,
                                                    const std::string& purpose) = 0;

  // Collective: a communicator of positions [0, positions) alone, in the same order, which goes
  // before this one does; null on the others. For what is measured on some of the ranks.
  virtual std::unique_ptr<Communicator> part(int positions) = 0;

  // Runs `body` on every rank; if it throws on any, all ranks throw the same error (that of the
  // lowest position), so that a refusal is said once and nobody hangs.
  virtual void together(const std::function<void()>& body) = 0;

  // Whether a thread of its own moves messages.
  virtual bool has_progress_thread() const { return false; }

  // What this rank is doing, for the watchdog's message and for its peers. Cheap.
  virtual void set_activity(const char* what, std::int64_t step) = 0;
};

// A thread of each rank that moves messages while its lanes are computed (docs/parallelism.md).
enum class ProgressBy : std::uint8_t {
  kAuto,  // a thread, where there are several nodes and a core to spare for each rank
  kThread,
  kCalls,  // what the computing thread calls
};

struct CommOptions {
  double watchdog_seconds = 300;  // run.watchdog: a wait longer than this stops the run
  std::string pretend_nodes;      // parallel.pretend_nodes: "" or the node of each rank, "0,1,1"
  ProgressBy progress = ProgressBy::kCalls;  // run.progress
  int threads = 1;                           // that compute, on each rank
};

// Looks at how the program was started, WITHOUT initialising MPI: true under mpirun or srun.
bool launched_by_mpi();

// Initialises MPI once (MPI_THREAD_SERIALIZED, or FUNNELED if that is all it has) when launched by
// MPI, or makes the self communicator.
// Compares MPI's size with SLURM_NTASKS / OMPI_COMM_WORLD_SIZE and throws UserError with the remedy
// if they differ (the singleton trap of a wrong PMI).
std::unique_ptr<Communicator> make_communicator(const CommOptions& options);
// Of this process alone, however many there are: what is summed over it never leaves it.
std::unique_ptr<Communicator> make_self_communicator();
// After an error on some ranks only: ends all ranks with this exit code.
[[noreturn]] void abort_all(int exit_code);

template <class T>
void broadcast_value(Communicator& c, T& value, int root_rank = 0) {
  c.broadcast(std::as_writable_bytes(std::span(&value, 1)), root_rank);
}
std::string broadcast_text(Communicator& c, std::string text, int root_rank = 0);

}  // namespace lockstep::comm
