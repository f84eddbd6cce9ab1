// The communicator of a run under mpirun or srun. Owns MPI's communicators and the watchdog; all
// its waits are non-blocking calls and a test, so that the watchdog sees them.
#pragma once
#include <mpi.h>

#include <memory>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "progress_thread.h"
#include "wait.h"
#include "watchdog.h"

namespace lockstep::comm {

class MpiCommunicator final : public Communicator, public Waiter {
 public:
  explicit MpiCommunicator(const CommOptions& options);  // of all ranks
  ~MpiCommunicator() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const Topology& topology() const override { return topology_; }

  void barrier() override;
  void broadcast(std::span<std::byte> bytes, int root_rank) override;
  std::vector<std::byte> gather_all(std::span<const std::byte> mine) override;
  void gather(std::span<const std::byte> mine, int root_rank,
              const std::function<void(int, std::span<const std::byte>)>& visit) override;
  std::int64_t min(std::int64_t value) override;
  std::int64_t max(std::int64_t value) override;
  std::unique_ptr<SharedWindow> make_window(std::size_t bytes, const std::string& purpose) override;
  std::unique_ptr<Communicator> part(int positions) override;
  void together(const std::function<void()>& body) override;
  void set_activity(const char* what, std::int64_t step) override;

  bool has_progress_thread() const override { return progress_thread_ != nullptr; }

  double wait(const Awaited& awaited, const std::function<bool()>& ready) override;
  ProgressThread* progress_thread() const override { return progress_thread_.get(); }
  void complete(MPI_Request request, const char* what);

  MPI_Comm world() const { return world_; }
  // One number of each rank of this node, by local rank.
  std::vector<std::int64_t> node_gather(std::int64_t mine);
  // From local rank 0 to the others of this node.
  void node_broadcast(std::span<std::byte> bytes);
  const std::string& host() const { return hosts_[rank_]; }
  const std::vector<std::string>& hosts() const { return hosts_; }  // by rank

 private:
  MpiCommunicator(MPI_Comm base, const CommOptions& options);
  std::int64_t reduce(std::int64_t value, MPI_Op op, const char* what);
  void broadcast_over(MPI_Comm communicator, std::span<std::byte> bytes, int root,
                      const char* what);
  void find_topology();
  bool wants_progress_thread(const CommOptions& options);

  CommOptions options_;
  MPI_Comm world_ = MPI_COMM_NULL;
  MPI_Comm node_ = MPI_COMM_NULL;
  MPI_Comm probes_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  Topology topology_;
  std::vector<std::string> hosts_;  // by rank
  std::unique_ptr<Watchdog> watchdog_;
  std::unique_ptr<ProgressThread> progress_thread_;
};

}  // namespace lockstep::comm
