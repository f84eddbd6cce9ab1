// Collectives: this program's fold, and MPI's own. Numbers are small integers, so that every order
// of additions gives the same, exact sum.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "bench/comm_parts.h"
#include "lockstep/comm/collectives.h"
#include "lockstep/comm/fold.h"
#include "lockstep/comm/shards.h"
#include "lockstep/core/fault.h"
#include "lockstep/core/parameter_table.h"
#include "lockstep/ops/vector.h"

namespace lockstep::bench {
namespace {

constexpr std::int64_t kBucketElements = 1 << 20;  // 4 MiB, as on one node by default
using Floats = std::vector<float>;

// Element i of a rank; its sum over ranks is a whole number below 2^24.
float element(std::int64_t i, int rank) { return static_cast<float>(i % 1000 + rank + 1); }
float sum_of(std::int64_t i, int ranks) {
  return static_cast<float>((i % 1000) * ranks + std::int64_t{ranks} * (ranks + 1) / 2);
}

std::string compared(const float* got, std::int64_t begin, std::int64_t n, int ranks) {
  for (std::int64_t i = 0; i < n; ++i)
    if (!(got[i] == sum_of(begin + i, ranks)))
      return fmt::format("the sum of element {} is {}, not {}", begin + i, got[i],
                         sum_of(begin + i, ranks));
  return {};
}

// One lane a rank; its gradient is there already, as backward leaves it.
class FoldSum {
 public:
  FoldSum(comm::Communicator& communicator, std::int64_t elements, comm::SumsTo sums,
          comm::ReduceKind kind)
      : communicator_(communicator) {
    layout_.lanes = communicator.size();
    layout_.record_bytes = sizeof record_;
    layout_.sums = sums;
    layout_.flat_elements = (elements + kGranule - 1) / kGranule * kGranule;
    for (std::int64_t at = 0; at < elements; at += kBlock)
      layout_.blocks.push_back({at, std::min(at + kBlock, elements)});
    for (std::int64_t end = layout_.flat_elements; end > 0;) {
      const std::int64_t begin = (end - 1) / kBucketElements * kBucketElements;
      layout_.buckets.push_back({begin, end});
      end = begin;
    }
    fold_ = make_fold(communicator, layout_, {&ops::add, &ops::sum_of_squares, &ops::round_to_bf16},
                      kind);
  }

  void run() {
    sum({});
    fold_->release();
  }
  std::string check() {
    sum([&](float* leaf, const comm::Range& bucket) {
      for (std::int64_t i = bucket.begin; i < bucket.end; ++i)
        leaf[i - bucket.begin] = element(i, communicator_.topology().position);
    });
    std::string found;
    const comm::Shards shards(layout_, communicator_.size());
    for (std::size_t b = 0; b < layout_.blocks.size() && found.empty(); ++b) {
      const int block = static_cast<int>(b);
      if (layout_.sums == comm::SumsTo::kOwners &&
          shards.owner(block) != communicator_.topology().position)
        continue;
      const comm::Range& range = layout_.blocks[b];
      found = compared(fold_->sum(block), range.begin, range.size(), communicator_.size());
    }
    fold_->release();
    sum([](float* leaf, const comm::Range& bucket) { std::fill_n(leaf, bucket.size(), 0.0f); });
    fold_->release();
    return found;
  }

 private:
  void sum(const std::function<void(float*, const comm::Range&)>& write) {
    const std::int64_t lane = fold_->next(0);
    for (int b = 0; b < static_cast<int>(layout_.buckets.size()); ++b) {
      float* const leaf = fold_->leaf(0, lane, b);
      if (write) write(leaf, layout_.buckets[static_cast<std::size_t>(b)]);
      fold_->push(0, lane, b);
    }
    fold_->set_record(lane, record_);
    fold_->finish(step_++);
  }

  comm::Communicator& communicator_;
  comm::FoldLayout layout_;
  std::unique_ptr<comm::Fold> fold_;
  const char record_[64] = {};
  std::int64_t step_ = 0;
};

// Buffers of a call of MPI's.
struct Plain {
  Plain(comm::Communicator& communicator, std::int64_t from, std::int64_t to)
      : communicator(communicator),
        collectives(make_collectives(communicator)),
        from(static_cast<std::size_t>(from)),
        to(static_cast<std::size_t>(to)) {}
  int rank() const { return communicator.rank(); }
  int ranks() const { return communicator.size(); }
  void fill() {
    for (std::size_t i = 0; i < from.size(); ++i)
      from[i] = element(static_cast<std::int64_t>(i), rank());
    std::ranges::fill(to, -1.0f);
  }
  void clear() { std::ranges::fill(from, 0.0f); }
  comm::Communicator& communicator;
  std::unique_ptr<comm::Collectives> collectives;
  Floats from, to;
};

Way fold_way(comm::Communicator& communicator, Collective kind, std::int64_t elements,
             comm::ReduceKind reduce) {
  const auto fold = std::make_shared<FoldSum>(
      communicator, elements,
      kind == Collective::kAllreduce ? comm::SumsTo::kEveryRank : comm::SumsTo::kOwners, reduce);
  return {kind, reduce == comm::ReduceKind::kFold ? "fold" : "reduce = \"mpi\"", 4 * elements,
          [fold] { fold->run(); }, [fold] { return fold->check(); }};
}

Way allreduce_way(comm::Communicator& communicator, std::int64_t elements) {
  const auto p = std::make_shared<Plain>(communicator, elements, elements);
  const auto run = [p] { p->collectives->allreduce(p->from, p->to); };
  return {Collective::kAllreduce, "MPI_Iallreduce", 4 * elements, run, [p, run] {
            p->fill();
            run();
            return compared(p->to.data(), 0, std::ssize(p->to), p->ranks());
          }};
}

Way reduce_scatter_way(comm::Communicator& communicator, std::int64_t elements) {
  const auto p = std::make_shared<Plain>(communicator, elements, elements / communicator.size());
  const auto run = [p] { p->collectives->reduce_scatter(p->from, p->to); };
  return {Collective::kReduceScatter, "MPI_Ireduce_scatter", 4 * elements, run, [p, run] {
            p->fill();
            run();
            return compared(p->to.data(), p->rank() * std::ssize(p->to), std::ssize(p->to),
                            p->ranks());
          }};
}

Way allgather_way(comm::Communicator& communicator, std::int64_t elements) {
  const auto p = std::make_shared<Plain>(communicator, elements / communicator.size(), elements);
  const auto run = [p] { p->collectives->allgather(p->from, p->to); };
  return {Collective::kAllgather, "MPI_Iallgather", 4 * elements, run, [p, run]() -> std::string {
            p->fill();
            run();
            for (std::int64_t i = 0; i < std::ssize(p->to); ++i) {
              const float expected =
                  element(i % std::ssize(p->from), static_cast<int>(i / std::ssize(p->from)));
              if (!(p->to[i] == expected))
                return fmt::format("element {} is {}, not {}", i, p->to[i], expected);
            }
            return {};
          }};
}

// What all ranks are told at start.
Way gather_all_way(comm::Communicator& communicator, std::int64_t elements) {
  const auto p = std::make_shared<Plain>(communicator, elements / communicator.size(), 0);
  const auto run = [p] {
    return p->communicator.gather_all(std::as_bytes(std::span(std::as_const(p->from))));
  };
  return {Collective::kAllgather, "gather_all", 4 * elements, run, [p, run]() -> std::string {
            p->fill();
            const std::vector<std::byte> bytes = run();
            Floats all(bytes.size() / sizeof(float));
            std::memcpy(all.data(), bytes.data(), bytes.size());
            for (std::int64_t i = 0; i < std::ssize(all); ++i) {
              const auto position = static_cast<std::size_t>(i / std::ssize(p->from));
              const float expected = element(i % std::ssize(p->from),
                                             p->communicator.topology().rank_at[position]);
              if (!(all[i] == expected))
                return fmt::format("element {} is {}, not {}", i, all[i], expected);
            }
            return {};
          }};
}

Way broadcast_way(comm::Communicator& communicator, std::int64_t elements) {
  const auto p = std::make_shared<Plain>(communicator, elements, 0);
  const auto run = [p] { p->collectives->broadcast(p->from, 0); };
  return {Collective::kBroadcast, "MPI_Ibcast", 4 * elements, run, [p, run]() -> std::string {
            p->fill();
            run();
            for (std::int64_t i = 0; i < std::ssize(p->from); ++i)
              if (!(p->from[i] == element(i, 0)))
                return fmt::format("element {} is {}, not {}", i, p->from[i], element(i, 0));
            return {};
          }};
}

}  // namespace

double bus_factor(Collective kind, int ranks) {
  const double n = ranks;
  switch (kind) {
    case Collective::kAllreduce: return 2 * (n - 1) / n;
    case Collective::kReduceScatter:
    case Collective::kAllgather: return (n - 1) / n;
    case Collective::kBroadcast: return 1;
  }
  return 1;
}

std::vector<Way> ways_of(comm::Communicator& communicator, Collective kind, std::int64_t bytes) {
  const std::int64_t ranks = communicator.size();
  const bool cut = kind == Collective::kReduceScatter || kind == Collective::kAllgather;
  const std::int64_t elements =
      cut ? std::max<std::int64_t>(1, bytes / 4 / ranks) * ranks : bytes / 4;
  switch (kind) {
    case Collective::kAllreduce:
      return {fold_way(communicator, kind, elements, comm::ReduceKind::kFold),
              fold_way(communicator, kind, elements, comm::ReduceKind::kMpi),
              allreduce_way(communicator, elements)};
    case Collective::kReduceScatter:
      return {fold_way(communicator, kind, elements, comm::ReduceKind::kFold),
              reduce_scatter_way(communicator, elements)};
    case Collective::kAllgather:
      return {gather_all_way(communicator, elements), allgather_way(communicator, elements)};
    case Collective::kBroadcast: return {broadcast_way(communicator, elements)};
  }
  return {};
}

}  // namespace lockstep::bench
