// The parameters of a parameter server: shards and optimizer on the servers, a whole copy on each
// worker, and the messages that bring the one to the other, bucket by bucket; to a worker's device
// through pinned memory. When an update is due is the strategy's affair.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lockstep/comm/server_exchange.h"
#include "lockstep/comm/shards.h"
#include "lockstep/parallel/strategy.h"
#include "parallel/gradient_sink.h"

namespace lockstep::parallel {

// Throws UserError unless ranks and options allow for it.
comm::ServerRoles server_roles(const comm::Communicator& communicator, const Options& options);
std::string_view name_of(ServerMode mode);

// Numbers by block, `per_block` each, from the servers that own the blocks to all servers.
class ServerValues {
 public:
  ServerValues(comm::ServerExchange& exchange, const comm::ServerRoles& roles, int server,
               const comm::Shards& shards, int per_block, int tag);
  // values: by block. Every server calls, or none.
  void share(std::span<double> values, std::int64_t step);

 private:
  void copy(int server, double* to, const double* from, bool pack) const;

  comm::ServerExchange& exchange_;
  const comm::Shards& shards_;
  const int server_, per_block_;
  std::vector<std::vector<double>> numbers_;  // by server, its blocks bucket by bucket
  std::vector<int> sends_, receives_;
};

class ServedParameters {
 public:
  ServedParameters(comm::Communicator& communicator, Device& device, nn::Program& program,
                   const BucketTable& buckets, const optim::Options& optimizer_options,
                   const comm::ServerRoles& roles, comm::ServerExchange& exchange);
  ~ServedParameters();

  int server() const { return server_; }  // -1: a worker
  bool serves() const { return server_ >= 0; }
  const comm::ServerRoles& roles() const { return roles_; }
  const comm::Shards& shards() const { return shards_; }

  // A server: one step over its shard; then send() may follow, and does for every bucket as soon as
  // it is updated if `send_all`.
  void step(std::int64_t step, double scale, double statistics_scale,
            const std::function<const float*(int block)>& gradient, bool send_all);
  void send(int bucket, int worker);
  void send_everything(int worker);
  bool sent();  // what was sent may be overwritten

  // A worker: starts to receive from a server, all buckets in the order in which they are sent,
  // once its device has taken what came before; whether they are here.
  void receive(int server);
  bool received(int server, int bucket);
  // Waits for each bucket from all servers, and packs it, or gives that to the program's stream 0.
  double await_and_pack(std::int64_t step);

  // All servers to all workers. Every rank calls.
  void distribute();

  std::vector<StateTensor> state();
  std::vector<StateTensor> copies();  // the workers'
  std::vector<int> workers() const;
  std::vector<nn::LedgerRow> ledger() const;

 private:
  int buckets() const { return buckets_.size(); }
  float* in_messages() const { return on_host_.bytes() > 0 ? on_host_.as<float>() : flat(); }
  float* flat() const { return flat_.as<float>(); }

  Device& device_;
  nn::Program& program_;
  const ParameterTable& table_;
  const BucketTable& buckets_;
  const optim::Options optimizer_options_;
  const comm::ServerRoles roles_;
  const int server_;
  comm::ServerExchange& exchange_;
  const comm::Shards shards_;
  std::vector<int> holders_;  // by block: position
  Buffer flat_;
  Buffer on_host_;                       // of a worker whose device is not the host
  std::unique_ptr<Event> taken_;         // likewise: on_host_ may be overwritten
  std::unique_ptr<ServerValues> norms_;  // LAMB's
  std::int64_t step_ = 0;                // in the making
  optim::Optimizer optimizer_;
  std::vector<std::vector<int>> parcels_;  // bucket -> by worker, or by server
};

}  // namespace lockstep::parallel
