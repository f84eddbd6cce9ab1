// The fold of a parameter server: workers merge their lanes and push canonical nodes, servers merge
// those of all workers in the one tree, block by block, each for its own shard. Buckets leave as
// soon as they are complete. Knows nothing of what is done with the sums.
#pragma once
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fold_plan.h"
#include "lane_cursors.h"
#include "lockstep/comm/server_exchange.h"
#include "lockstep/comm/shards.h"
#include "owned_values.h"
#include "record_messages.h"
#include "tile_runner.h"
#include "worker_rows.h"

namespace lockstep::comm {

class ServerFold final : public Fold {
 public:
  // messages: for records and block values, which everybody gets.
  ServerFold(Communicator& communicator, const FoldLayout& layout, int servers,
             const FoldArithmetic& arithmetic, const FoldDevice& device, MPI_Comm messages);
  ~ServerFold() override;

  std::int64_t next(int stream) override { return cursors_.next(stream); }
  std::vector<LaneRange> home(int stream) const override { return {cursors_.lanes(stream)}; }
  float* leaf(int stream, std::int64_t lane, int bucket) override;
  void open(int stream, Stream& work) override { rows_->open(stream, work); }
  void mark(int stream, int bucket, Stream& work) override { rows_->mark(stream, bucket, work); }
  void push(int stream, std::int64_t lane, int bucket) override;
  void progress() override;
  void set_record(std::int64_t lane, const void* record) override;
  void finish(std::int64_t step) override;
  const void* record(std::int64_t lane) const override { return records_->record(lane); }
  const float* sum(int block) const override;
  double block_value(int block) const override { return *value_place(block); }
  using Fold::release;
  void release() override {}

  const FoldCounters& counters() const override { return counters_; }
  std::size_t window_bytes() const override { return 0; }
  std::size_t private_bytes() const override;
  std::size_t device_bytes() const override { return rows_ ? rows_->device_bytes() : 0; }
  std::string path() const override { return "messages to the servers"; }

 private:
  std::vector<std::span<std::byte>> rows_of(int bucket, int server, float* const* rows,
                                            std::int64_t first, int count) const;
  void plan_worker(const LaneRange& lanes, const FoldDevice& device);
  void plan_server(const std::vector<LaneRange>& lanes);
  void fold(int bucket);
  void begin_step();
  void watch_flight(bool computing);
  bool all_sent();
  int buckets() const { return static_cast<int>(layout_.buckets.size()); }
  double* value_place(int block) const {
    return reinterpret_cast<double*>(values_->record(owned_.place[block]));
  }

  Communicator& communicator_;
  const FoldLayout layout_;
  const FoldArithmetic arithmetic_;
  const ServerRoles roles_;
  const int server_;  // -1: a worker
  const Shards shards_;
  const OwnedValues owned_;
  MPI_Comm messages_;
  std::unique_ptr<ServerExchange> exchange_;
  std::optional<RecordMessages> records_, values_;
  LaneCursors cursors_;
  std::int64_t own_records_ = 0;

  // A worker.
  RankStores plan_;
  std::unique_ptr<WorkerRows> rows_;
  std::vector<std::vector<int>> sends_;  // bucket -> parcels
  int sent_ = 0;                         // buckets

  // A server.
  TileProgram program_;
  Pages inbox_, tiles_, sums_;
  std::optional<TileRunner> runner_;
  std::vector<std::vector<int>> receives_;   // bucket -> parcels
  std::vector<std::vector<float*>> source_;  // bucket -> element 0 of its range, by canonical node
  int folded_ = 0;                           // buckets

  bool begun_ = false, records_started_ = false;
  std::atomic<std::int64_t> records_set_{0};
  double flight_since_ = 0;
  std::int64_t exchanged_ = 0;  // bytes, counted so far
  FoldCounters counters_;
};

}  // namespace lockstep::comm
