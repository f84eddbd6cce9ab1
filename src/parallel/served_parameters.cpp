#include "parallel/served_parameters.h"

#include <algorithm>
#include <exception>
#include <numeric>

#include "lockstep/core/error.h"
#include "parallel/replicated.h"

namespace lockstep::parallel {
namespace {

constexpr int kTags = 8192;  // of buckets; those of values follow

comm::Shards cut(const BucketTable& buckets, const ParameterTable& table, int servers) {
  return comm::Shards(buckets.layout(table), servers);
}

std::span<std::byte> bytes_of(double* at, std::size_t count) {
  return {reinterpret_cast<std::byte*>(at), count * sizeof(double)};
}

}  // namespace

std::string_view name_of(ServerMode mode) {
  switch (mode) {
    case ServerMode::kSync:
      return "sync";
    case ServerMode::kBounded:
      return "bounded";
    case ServerMode::kAsync:
      return "async";
  }
  return "";
}

comm::ServerRoles server_roles(const comm::Communicator& communicator, const Options& options) {
  const comm::ServerRoles roles{communicator.size(), static_cast<int>(options.servers)};
  if (options.reduce == comm::ReduceKind::kMpi)
    throw UserError(
        "parallel.reduce = \"mpi\" has no form for parallel.strategy = \"server\", whose servers "
        "do the sums; use parallel.reduce = \"fold\"");
  if (options.assignment != Assignment::kStatic)
    throw UserError(
        "assignment.kind other than \"static\" does not go with parallel.strategy = \"server\"; "
        "parallel.mode = \"async\" hands lanes to whoever is free");
  if (roles.workers() < 1)
    throw UserError(
        "parallel.strategy = \"server\" with parallel.servers = {} needs {} ranks at least, of "
        "which one computes, and this run has {}; start more ranks, or set fewer servers",
        options.servers, options.servers + 1, roles.ranks);
  if (roles.workers() > options.lanes)
    throw UserError(
        "{} of the {} ranks would compute, but the run has {} lanes; start at most {} ranks, raise "
        "parallel.servers, or raise train.lanes",
        roles.workers(), roles.ranks, options.lanes, options.lanes + options.servers);
  return roles;
}

ServerValues::ServerValues(comm::ServerExchange& exchange, const comm::ServerRoles& roles,
                           int server, const comm::Shards& shards, int per_block, int tag)
    : exchange_(exchange),
      shards_(shards),
      server_(server),
      per_block_(per_block),
      numbers_(shards.positions()) {
  for (int k = 0; k < shards.positions(); ++k) {
    const auto blocks = std::count(shards.owners().begin(), shards.owners().end(), k);
    numbers_[k].resize(static_cast<std::size_t>(blocks * per_block));
  }
  for (int k = 0; server >= 0 && k < shards.positions(); ++k) {
    if (k == server) continue;
    const std::span<std::byte> out = bytes_of(numbers_[server].data(), numbers_[server].size());
    const std::span<std::byte> in = bytes_of(numbers_[k].data(), numbers_[k].size());
    sends_.push_back(exchange.plan_send(roles.position_of(k), kTags + tag, {&out, 1}));
    receives_.push_back(exchange.plan_receive(roles.position_of(k), kTags + tag, {&in, 1}));
  }
}

void ServerValues::copy(int server, double* to, const double* from, bool pack) const {
  std::int64_t at = 0;
  for (int b = 0; b < shards_.buckets(); ++b) {
    const auto& cut = shards_.cut(b);
    for (int block = cut[server]; block < cut[server + 1]; ++block, at += per_block_) {
      const std::int64_t place = std::int64_t{block} * per_block_;
      std::copy_n(from + (pack ? place : at), per_block_, to + (pack ? at : place));
    }
  }
}

void ServerValues::share(std::span<double> values, std::int64_t step) {
  if (sends_.empty()) return;
  copy(server_, numbers_[server_].data(), values.data(), true);
  for (const int parcel : receives_) exchange_.start(parcel);
  for (const int parcel : sends_) exchange_.start(parcel);
  const auto done = [this](int parcel) { return exchange_.done(parcel); };
  exchange_.wait("the other servers' norms", step, [this, &done] {
    return std::all_of(receives_.begin(), receives_.end(), done) &&
           std::all_of(sends_.begin(), sends_.end(), done);
  });
  for (int k = 0; k < shards_.positions(); ++k) {
    if (k != server_) copy(k, values.data(), numbers_[k].data(), false);
  }
}

ServedParameters::ServedParameters(comm::Communicator& communicator, Device& device,
                                   nn::Program& program, const BucketTable& buckets,
                                   const optim::Options& optimizer_options,
                                   const comm::ServerRoles& roles, comm::ServerExchange& exchange)
    : device_(device),
      program_(program),
      table_(program.table()),
      buckets_(buckets),
      optimizer_options_(optimizer_options),
      roles_(roles),
      server_(roles.serves(communicator.topology().position)
                  ? communicator.topology().position - roles.workers()
                  : -1),
      exchange_(exchange),
      shards_(cut(buckets, table_, roles.servers)),
      flat_(device.allocate(static_cast<std::size_t>(table_.flat_elements()) * sizeof(float),
                            "parameters")),
      norms_(std::make_unique<ServerValues>(exchange, roles, server_, shards_, 2, 0)),
      optimizer_(table_, optimizer_options, cpu_device(), shards_.owned_by(server_),
                 [this](std::span<double> squares) { norms_->share(squares, step_ + 1); }),
      parcels_(buckets.size()) {
  for (const int owner : shards_.owners()) holders_.push_back(roles.position_of(owner));
  LOCKSTEP_CHECK(!serves() || device.is_host(), "a server needs no device");
  if (!device.is_host()) {
    on_host_ = device.allocate_on_host(flat_.bytes(), "parameters on their way from the servers");
    taken_ = device.make_event();
  }
  program_.bind(flat());
  const int peers = serves() ? roles.workers() : roles.servers;
  for (int b = 0; b < buckets_.size(); ++b) {
    for (int peer = 0; peer < peers; ++peer) {
      const comm::Range range = shards_.range(b, serves() ? server_ : peer);
      const auto piece =
          std::as_writable_bytes(std::span(in_messages() + range.begin, range.size()));
      parcels_[b].push_back(
          serves() ? exchange.plan_send(peer, b % kTags, {&piece, 1})
                   : exchange.plan_receive(roles.position_of(peer), b % kTags, {&piece, 1}));
    }
  }
}

ServedParameters::~ServedParameters() {
  if (std::uncaught_exceptions() > 0) return;
  exchange_.wait("parameters to leave", -1, [this] { return sent(); });
}

// Parameters are updated in table order, that is from the last bucket to the first.
void ServedParameters::step(std::int64_t step, double scale, double statistics_scale,
                            const std::function<const float*(int block)>& gradient, bool send_all) {
  step_ = step;
  exchange_.wait("parameters to leave", step + 1, [this] { return sent(); });
  const auto send_to_all = [this](int bucket) {
    for (int w = 0; w < roles_.workers(); ++w) send(bucket, w);
  };
  // LAMB's parameters are final when all norms are known.
  const bool at_once = send_all && optimizer_options_.kind != optim::Kind::kLamb;
  optimizer_.step(flat(), step, scale, statistics_scale, gradient,
                  [this, at_once, &send_to_all](int parameter) {
                    const int bucket = buckets_.of[parameter];
                    if (at_once && buckets_.buckets[bucket].end == parameter + 1)
                      send_to_all(bucket);
                  });
  for (int b = buckets(); send_all && !at_once && b-- > 0;) send_to_all(b);
}

// A worker that asks again has received what was sent before.
void ServedParameters::send(int bucket, int worker) {
  const int parcel = parcels_[bucket][worker];
  if (!exchange_.done(parcel))
    exchange_.wait("parameters to leave", step_ + 1,
                   [this, parcel] { return exchange_.done(parcel); });
  exchange_.start(parcel);
}

void ServedParameters::send_everything(int worker) {
  for (int b = buckets(); b-- > 0;) send(b, worker);
}

bool ServedParameters::sent() {
  for (const auto& peers : parcels_) {
    for (const int parcel : peers) {
      if (serves() && !exchange_.done(parcel)) return false;
    }
  }
  return true;
}

void ServedParameters::receive(int server) {
  if (taken_) taken_->synchronize();
  for (int b = buckets(); b-- > 0;) exchange_.start(parcels_[b][server]);
}

bool ServedParameters::received(int server, int bucket) {
  return exchange_.done(parcels_[bucket][server]);
}

double ServedParameters::await_and_pack(std::int64_t step) {
  double waited = 0;
  for (int b = buckets(); b-- > 0;) {
    waited += exchange_.wait("the servers' parameters", step, [this, b] {
      for (int k = 0; k < roles_.servers; ++k) {
        if (!received(k, b)) return false;
      }
      return true;
    });
    const Bucket& bucket = buckets_.buckets[b];
    if (taken_) {
      device_.copy(flat() + bucket.range.begin, in_messages() + bucket.range.begin,
                   static_cast<std::size_t>(bucket.range.size()) * sizeof(float),
                   program_.stream(0));
    } else {
      for (int p = bucket.first; p < bucket.end; ++p) program_.pack(p);
    }
  }
  if (!taken_) return waited;
  taken_->record(program_.stream(0));
  program_.pack();
  return waited;
}

void ServedParameters::distribute() {
  if (serves()) {
    exchange_.wait("parameters to leave", -1, [this] { return sent(); });
    for (int b = buckets(); b-- > 0;) {
      for (int w = 0; w < roles_.workers(); ++w) send(b, w);
    }
    return;
  }
  for (int k = 0; k < roles_.servers; ++k) receive(k);
  await_and_pack(-1);
  if (!taken_) program_.pack();  // also what reads no parameter
}

std::vector<StateTensor> ServedParameters::state() {
  std::vector<StateTensor> tensors{{"parameters", in_messages()}};
  append_state(tensors, optimizer_);
  for (StateTensor& tensor : tensors) {
    tensor.holders = &holders_;
    tensor.on_host = true;
  }
  return tensors;
}

std::vector<StateTensor> ServedParameters::copies() {
  return {{"parameters", serves() ? nullptr : flat()}};
}

std::vector<int> ServedParameters::workers() const {
  std::vector<int> positions(roles_.workers());
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

std::vector<nn::LedgerRow> ServedParameters::ledger() const {
  if (!serves()) {
    std::vector<nn::LedgerRow> rows{
        {"parameters (replica)", flat_.bytes(), "a worker's copy, fp32"}};
    if (on_host_.bytes() > 0)
      rows.push_back(
          {"parameters on the host", on_host_.bytes(), "pinned, from the servers", true});
    return rows;
  }
  const auto shard = static_cast<std::size_t>(shards_.elements(server_)) * sizeof(float);
  return {{"parameters (shard)", shard, "those that this rank serves, fp32"},
          {"optimizer state", optimizer_.state_bytes(),
           std::string(name_of(optimizer_options_.kind)) + ", of the shard"}};
}

}  // namespace lockstep::parallel
