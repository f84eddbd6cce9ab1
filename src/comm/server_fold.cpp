#include "server_fold.h"

#include <algorithm>
#include <cstring>
#include <exception>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "mpi_call.h"
#include "mpi_communicator.h"

namespace lockstep::comm {
namespace {

constexpr int kTags = 8192;  // parcels of a pair keep their order, so that tags may come round

std::span<std::byte> bytes_of(float* at, std::int64_t floats) {
  return {reinterpret_cast<std::byte*>(at), static_cast<std::size_t>(floats) * sizeof(float)};
}

// By position: the workers' lanes, nothing for a server.
std::vector<LaneRange> deal(std::int64_t lanes, const ServerRoles& roles) {
  std::vector<LaneRange> dealt = cut_lanes(lanes, roles.workers());
  dealt.resize(roles.ranks, {lanes, lanes});
  return dealt;
}

}  // namespace

ServerFold::ServerFold(Communicator& communicator, const FoldLayout& layout, int servers,
                       const FoldArithmetic& arithmetic, const FoldDevice& device,
                       MPI_Comm messages)
    : communicator_(communicator),
      layout_(layout),
      arithmetic_(arithmetic),
      roles_{communicator.size(), servers},
      server_(roles_.serves(communicator.topology().position)
                  ? communicator.topology().position - roles_.workers()
                  : -1),
      shards_(layout_, servers),
      owned_(shards_),
      messages_(messages),
      exchange_(make_server_exchange(communicator, 1)) {
  const Topology& topology = communicator.topology();
  std::vector<LaneRange> dealt = deal(layout_.lanes, roles_);
  std::vector<LaneRange> records = dealt, values(roles_.workers(), {0, 0});
  for (int k = 0; k < servers; ++k) {
    records[roles_.position_of(k)] = {layout_.lanes + k, layout_.lanes + k + 1};
    values.push_back(owned_.ranges[k]);
  }
  own_records_ = records[topology.position].size();
  records_.emplace(messages_, topology, records, layout_.record_bytes);
  values_.emplace(messages_, topology, values, sizeof(double));
  if (server_ < 0) {
    plan_worker(dealt[topology.position], device);
  } else {
    for (int s = 0; s < layout_.streams; ++s) cursors_.add({0, 0});
    plan_server(dealt);
  }
}

ServerFold::~ServerFold() {
  records_.reset();
  values_.reset();
  if (std::uncaught_exceptions() == 0) MPI_Comm_free(&messages_);
}

// rows[i] + first: where element `first` of the flat buffer lies in row i.
std::vector<std::span<std::byte>> ServerFold::rows_of(int bucket, int server, float* const* rows,
                                                      std::int64_t first, int count) const {
  const Range range = shards_.range(bucket, server);
  std::vector<std::span<std::byte>> pieces;
  if (range.size() == 0) return pieces;
  for (int i = 0; i < count; ++i)
    pieces.push_back(bytes_of(rows[i] + (range.begin - first), range.size()));
  return pieces;
}

void ServerFold::plan_worker(const LaneRange& lanes, const FoldDevice& device) {
  plan_ = make_stores(layout_, lanes);
  if (device.device == nullptr) {
    rows_ = std::make_unique<HostRows>(layout_, plan_, arithmetic_);
  } else {
    rows_ = std::make_unique<DeviceRows>(layout_, plan_, device);
  }
  for (const auto& stream : plan_.streams) cursors_.add(stream.lanes);
  std::vector<float*> rows;
  for (int i = 0; i < rows_->rows(); ++i) rows.push_back(rows_->row(i));
  for (int b = 0; b < buckets(); ++b) {
    auto& parcels = sends_.emplace_back();
    for (int k = 0; k < roles_.servers; ++k) {
      parcels.push_back(exchange_->plan_send(roles_.position_of(k), b % kTags,
                                             rows_of(b, k, rows.data(), 0, rows_->rows())));
    }
  }
}

void ServerFold::plan_server(const std::vector<LaneRange>& lanes) {
  std::vector<Node> sources;
  std::vector<int> count;  // worker -> its canonical nodes
  for (int w = 0; w < roles_.workers(); ++w) {
    // As its streams leave them: a stream may end between siblings.
    const RankStores stores = make_stores(layout_, lanes[w]);
    for (const auto& [node, slot] : stores.remaining) sources.push_back(node);
    count.push_back(static_cast<int>(stores.remaining.size()));
  }
  program_ = make_program(sources, layout_.lanes);
  LOCKSTEP_CHECK(program_.outs == 1, "all lanes have {} sums", program_.outs);
  const auto rows = static_cast<std::int64_t>(sources.size());
  inbox_ = Pages(static_cast<std::size_t>(rows * shards_.elements(server_)) * sizeof(float));
  sums_ = Pages(static_cast<std::size_t>(layout_.flat_elements) * sizeof(float));
  std::int64_t tile = 0;
  for (const Range& block : layout_.blocks) tile = std::max(tile, block.size());
  tile = static_cast<std::int64_t>(round_up(static_cast<std::size_t>(tile), 64));
  tiles_ = Pages(static_cast<std::size_t>(program_.scratch * tile) * sizeof(float));
  runner_.emplace(program_, arithmetic_, reinterpret_cast<float*>(tiles_.data()), tile);
  auto* at = reinterpret_cast<float*>(inbox_.data());
  for (int b = 0; b < buckets(); ++b) {
    const Range range = shards_.range(b, server_);
    auto& places = source_.emplace_back();
    auto& parcels = receives_.emplace_back();
    for (int w = 0; w < roles_.workers(); ++w) {
      const std::size_t first = places.size();
      for (int i = 0; i < count[w]; ++i, at += range.size()) places.push_back(at);
      parcels.push_back(exchange_->plan_receive(
          w, b % kTags, rows_of(b, server_, places.data() + first, range.begin, count[w])));
    }
  }
}

std::size_t ServerFold::private_bytes() const {
  const std::size_t sums =
      server_ < 0 ? 0 : static_cast<std::size_t>(shards_.elements(server_)) * sizeof(float);
  return (rows_ ? rows_->host_bytes() : 0) + inbox_.bytes() + tiles_.bytes() + sums;
}

void ServerFold::begin_step() {
  if (begun_) return;
  begun_ = true;
  for (const auto& parcels : receives_) {
    for (const int parcel : parcels) exchange_->start(parcel);
  }
}

// finish() has waited until the last step's messages left.
float* ServerFold::leaf(int stream, std::int64_t lane, int bucket) {
  return rows_->leaf(stream, lane, bucket);
}

void ServerFold::push(int stream, std::int64_t lane, int bucket) {
  rows_->push(stream, lane, bucket);
  if (stream == 0) progress();
}

// Buckets go in order, on every rank the same: they share few tags.
void ServerFold::progress() {
  begin_step();
  if (server_ < 0) {
    while (sent_ < buckets() && rows_->here(sent_)) {
      for (const int parcel : sends_[sent_]) exchange_->start(parcel);
      ++sent_;
    }
    watch_flight(true);
  } else {
    const auto here = [&](int parcel) { return exchange_->done(parcel); };
    while (folded_ < buckets() &&
           std::all_of(receives_[folded_].begin(), receives_[folded_].end(), here)) {
      fold(folded_++);
    }
  }
  if (!records_started_ && records_set_.load(std::memory_order_acquire) == own_records_) {
    records_started_ = true;
    records_->start();
    counters_.bytes_sent += records_->bytes_per_step();
    events::sent("the lanes' records", records_->bytes_per_step());
  }
}

// All workers' canonical nodes, in tree order.
void ServerFold::fold(int bucket) {
  const ScopedTimer timer(counters_.fold_seconds);
  const Range range = shards_.range(bucket, server_);
  auto* const sums = reinterpret_cast<float*>(sums_.data());
  const auto& cut = shards_.cut(bucket);
  for (int block = cut[server_]; block < cut[server_ + 1]; ++block) {
    const Range& elements = layout_.blocks[block];
    for (int i = 0; i < program_.sources; ++i)
      runner_->set_source(i, source_[bucket][i] + elements.begin - range.begin);
    runner_->set_out(0, sums + elements.begin);
    runner_->run(elements.size());
    *value_place(block) = arithmetic_.sum_of_squares(sums + elements.begin, elements.size());
  }
}

void ServerFold::set_record(std::int64_t lane, const void* record) {
  std::memcpy(records_->record(lane), record, layout_.record_bytes);
  const auto set = records_set_.fetch_add(1, std::memory_order_acq_rel) + 1;
  LOCKSTEP_CHECK(set <= own_records_, "a lane's record was set twice");
}

bool ServerFold::all_sent() {
  for (const auto& parcels : sends_) {
    for (const int parcel : parcels) {
      if (!exchange_->done(parcel)) return false;
    }
  }
  return true;
}

// Hidden: the time in which buckets of this worker were under way while it computed.
void ServerFold::watch_flight(bool computing) {
  const double now = flight_since_ > 0 || sent_ > 0 ? seconds_now() : 0;
  if (flight_since_ > 0) counters_.wait.hidden += now - flight_since_;
  flight_since_ = computing && sent_ > 0 && !all_sent() ? now : 0;
}

void ServerFold::finish(std::int64_t step) {
  if (rows_) rows_->end_step();
  if (server_ < 0) watch_flight(false);
  const double start = seconds_now(), folding = counters_.fold_seconds;
  exchange_->wait("the workers' gradients", step, [this] {
    progress();
    return records_started_ && (server_ < 0 ? sent_ : folded_) == buckets();
  });
  flight_since_ = 0;
  values_->start();
  counters_.bytes_sent += values_->bytes_per_step();
  events::sent("the blocks' sums of squares", values_->bytes_per_step());
  exchange_->wait("the lanes' records", step, [this] { return records_->test(); });
  exchange_->wait("the servers' sums of squares", step, [this] { return values_->test(); });
  exchange_->wait("the sending of gradients", step, [this] { return all_sent(); });
  counters_.wait.exposed += seconds_now() - start - (counters_.fold_seconds - folding);
  if (rows_) {
    rows_->begin_step();
    counters_.fold_seconds = rows_->seconds();
    counters_.bytes_sent += exchange_->bytes_sent() - exchanged_;
    exchanged_ = exchange_->bytes_sent();
  }
  records_set_.store(0, std::memory_order_relaxed);
  begun_ = records_started_ = false;
  sent_ = folded_ = 0;
  cursors_.begin_step();
}

const float* ServerFold::sum(int block) const {
  LOCKSTEP_CHECK(shards_.owner(block) == server_, "block {} is another server's", block);
  return reinterpret_cast<const float*>(sums_.data()) + layout_.blocks[block].begin;
}

std::unique_ptr<Fold> make_server_fold(Communicator& communicator, const FoldLayout& layout,
                                       int servers, const FoldArithmetic& arithmetic,
                                       const FoldDevice& device) {
  auto* const mpi = dynamic_cast<MpiCommunicator*>(&communicator);
  LOCKSTEP_CHECK(mpi != nullptr && servers > 0 && communicator.size() > servers,
                 "{} servers on {} ranks", servers, communicator.size());
  MPI_Comm messages = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(mpi->world(), &messages), "MPI_Comm_dup");
  return std::make_unique<ServerFold>(communicator, layout, servers, arithmetic, device, messages);
}

}  // namespace lockstep::comm
