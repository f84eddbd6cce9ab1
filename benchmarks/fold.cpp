// The fold against MPI_Allreduce, on the ranks of one node, alternated in one run:
//   scripts/mpirun.sh -np 2 build/benchmarks/bench_fold [largest MiB = 256] [seconds a size = 3]
// With "owners" as third argument: sums that end at the owners of shards, of lanes merged first
// (folded) or taken in rounds, against MPI_Reduce_scatter_block.
// A fold is what a step needs once the leaves are written: push, finish (sums of squares included),
// release; lanes = ranks. Medians of the slowest rank's time. GB/s is bus bandwidth,
// 2 (R - 1) / R * bytes / time, so that numbers of ranks compare; half of it for owners.
#include "lockstep/comm/fold.h"

#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "lockstep/core/clock.h"
#include "lockstep/core/isa.h"
#include "lockstep/core/log.h"
#include "lockstep/ops/vector.h"

namespace {

using namespace lockstep;

constexpr std::int64_t kBucketElements = 1 << 20;  // 4 MiB, as on one node by default

struct Contender {
  std::string name;
  MPI_Comm communicator = MPI_COMM_NULL;  // null: the fold
  std::vector<double> seconds;
  comm::FoldLayout layout = {};  // of the fold
  std::unique_ptr<comm::Fold> fold = nullptr;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// A communicator whose MPI_Allreduce uses this algorithm of coll/tuned; false if it has no such
// one.
bool with_algorithm(int algorithm, MPI_Comm* communicator) {
  int index = 0;
  if (MPI_T_cvar_get_index("coll_tuned_allreduce_algorithm", &index) != MPI_SUCCESS) return false;
  MPI_T_cvar_handle handle;
  int count = 0;
  MPI_T_cvar_handle_alloc(index, nullptr, &handle, &count);
  const bool known = MPI_T_cvar_write(handle, &algorithm) == MPI_SUCCESS;
  if (known) MPI_Comm_dup(MPI_COMM_WORLD, communicator);
  const int none = 0;
  MPI_T_cvar_write(handle, &none);
  MPI_T_cvar_handle_free(&handle);
  return known;
}

std::vector<Contender> contenders() {
  std::vector<Contender> all(2);
  all[0].name = "fold";
  all[1].name = "default";
  MPI_Comm_dup(MPI_COMM_WORLD, &all[1].communicator);
  const char* const names[] = {"",     "linear",         "nonoverlapping", "doubling",
                               "ring", "segmented ring", "rabenseifner"};
  for (int algorithm = 1; algorithm <= 6; ++algorithm) {
    Contender contender{names[algorithm]};
    if (with_algorithm(algorithm, &contender.communicator)) all.push_back(std::move(contender));
  }
  return all;
}

std::vector<Contender> contenders_for_owners() {
  std::vector<Contender> all(3);
  all[0].name = "rounds";
  all[1].name = "folded";
  all[2].name = "default";
  all[0].layout.leaves = comm::Leaves::kInRounds;
  all[0].layout.sums = all[1].layout.sums = comm::SumsTo::kOwners;
  MPI_Comm_dup(MPI_COMM_WORLD, &all[2].communicator);
  return all;
}

comm::FoldLayout layout_of(std::int64_t elements, int ranks) {
  comm::FoldLayout layout;
  layout.flat_elements = elements;
  layout.lanes = ranks;
  layout.record_bytes = 64;
  for (std::int64_t at = 0; at < elements; at += 4096) layout.blocks.push_back({at, at + 4096});
  for (std::int64_t end = elements; end > 0; end -= kBucketElements) {
    layout.buckets.push_back({std::max<std::int64_t>(0, end - kBucketElements), end});
  }
  return layout;
}

double fold_seconds(comm::Fold& fold, const comm::FoldLayout& layout, const float* gradient) {
  const std::int64_t lane = fold.next(0);
  const int buckets = static_cast<int>(layout.buckets.size());
  for (int b = 0; b < buckets; ++b) {
    const comm::Range& bucket = layout.buckets[b];
    std::copy(gradient + bucket.begin, gradient + bucket.end, fold.leaf(0, lane, b));
  }
  MPI_Barrier(MPI_COMM_WORLD);
  const double start = seconds_now();
  for (int b = 0; b < buckets; ++b) fold.push(0, lane, b);
  const char record[64] = {};
  fold.set_record(lane, record);
  fold.finish(0);
  fold.release();
  return seconds_now() - start;
}

// A lane that goes in rounds has two buckets at a time: each is written before it is pushed, and
// the time of these copies is taken off.
double owners_seconds(comm::Fold& fold, const comm::FoldLayout& layout, const float* gradient) {
  MPI_Barrier(MPI_COMM_WORLD);
  const double start = seconds_now();
  double copying = 0;
  const std::int64_t lane = fold.next(0);
  for (int b = 0; b < static_cast<int>(layout.buckets.size()); ++b) {
    const comm::Range& bucket = layout.buckets[b];
    float* const leaf = fold.leaf(0, lane, b);
    const double before = seconds_now();
    std::copy(gradient + bucket.begin, gradient + bucket.end, leaf);
    copying += seconds_now() - before;
    fold.push(0, lane, b);
  }
  const char record[64] = {};
  fold.set_record(lane, record);
  fold.finish(0);
  fold.release();
  return seconds_now() - start - copying;
}

double reduce_scatter_seconds(MPI_Comm communicator, const std::vector<float>& gradient,
                              std::vector<float>& sum) {
  int ranks = 1;
  MPI_Comm_size(communicator, &ranks);
  MPI_Barrier(MPI_COMM_WORLD);
  const double start = seconds_now();
  MPI_Reduce_scatter_block(gradient.data(), sum.data(),
                           static_cast<int>(gradient.size() / static_cast<std::size_t>(ranks)),
                           MPI_FLOAT, MPI_SUM, communicator);
  return seconds_now() - start;
}

double allreduce_seconds(MPI_Comm communicator, const std::vector<float>& gradient,
                         std::vector<float>& sum) {
  MPI_Barrier(MPI_COMM_WORLD);
  const double start = seconds_now();
  MPI_Allreduce(gradient.data(), sum.data(), static_cast<int>(gradient.size()), MPI_FLOAT, MPI_SUM,
                communicator);
  return seconds_now() - start;
}

void measure(comm::Communicator& communicator, std::vector<Contender>& all, std::int64_t mebibytes,
             double budget) {
  const std::int64_t elements = mebibytes << 18;
  const int ranks = communicator.size();
  for (Contender& contender : all) {
    if (contender.communicator != MPI_COMM_NULL) continue;
    const comm::FoldLayout wanted = contender.layout;
    contender.layout = layout_of(elements, ranks);
    contender.layout.leaves = wanted.leaves;
    contender.layout.sums = wanted.sums;
    contender.fold.reset();
    contender.fold = comm::make_fold(communicator, contender.layout,
                                     {&ops::add, &ops::sum_of_squares}, comm::ReduceKind::kFold);
  }
  const bool for_owners = all[0].layout.sums == comm::SumsTo::kOwners;
  std::vector<float> gradient(elements), sum(elements);
  for (std::int64_t i = 0; i < elements; ++i) {
    gradient[i] = static_cast<float>(i % 1000 + communicator.rank()) * 1e-3f;
  }
  for (Contender& contender : all) contender.seconds.clear();
  const double start = seconds_now();
  for (int round = 0; round < 201; ++round) {
    for (Contender& contender : all) {
      const auto of_fold = for_owners ? owners_seconds : fold_seconds;
      const auto of_mpi = for_owners ? reduce_scatter_seconds : allreduce_seconds;
      double seconds = contender.fold ? of_fold(*contender.fold, contender.layout, gradient.data())
                                      : of_mpi(contender.communicator, gradient, sum);
      MPI_Allreduce(MPI_IN_PLACE, &seconds, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
      if (round > 0) contender.seconds.push_back(seconds);  // the first round warms up
    }
    int enough = round >= 5 && seconds_now() - start > budget;
    MPI_Bcast(&enough, 1, MPI_INT, 0, MPI_COMM_WORLD);
    if (enough) break;
  }

  const double bus =
      (for_owners ? 1.0 : 2.0) * (ranks - 1) / ranks * static_cast<double>(mebibytes << 20) * 1e-9;
  std::string line = fmt::format("{:4} MiB", mebibytes);
  double best = 1e30, library = 0;
  for (const Contender& contender : all) {
    const double seconds = median(contender.seconds);
    if (contender.communicator != MPI_COMM_NULL) best = std::min(best, seconds);
    if (contender.name == "default") library = seconds;
    line +=
        fmt::format(" {:>{}.2f}", bus / seconds, std::max<std::size_t>(7, contender.name.size()));
  }
  const double mine = median(all[0].seconds);
  log::info("{}   {:5.2f} {:5.2f}   ({} rounds)", line, library / mine, best / mine,
            all[0].seconds.size());
}

}  // namespace

int main(int argc, char** argv) {
  // Read at MPI's start: without it the algorithm of coll/tuned cannot be chosen.
  ::setenv("OMPI_MCA_coll_tuned_use_dynamic_rules", "1", 1);
  const std::int64_t largest = argc > 1 ? std::atoll(argv[1]) : 256;
  const double budget = argc > 2 ? std::atof(argv[2]) : 3;
  const auto communicator = comm::make_communicator({});
  if (communicator->size() == 1) {
    log::error("bench_fold compares ranks: start it with mpirun -np 2 or more");
    return 2;
  }
  int provided = 0;
  MPI_T_init_thread(MPI_THREAD_SINGLE, &provided);
  const bool for_owners = argc > 3 && std::string(argv[3]) == "owners";
  auto all = for_owners ? contenders_for_owners() : contenders();
  char version[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(version, &length);
  log::info("{} ranks, {}, {}\n{}", communicator->size(), cpu_model(), name_of(isa()),
            std::string(version).substr(0, std::string(version).find(',')));
  std::string line = "GB/s    ";
  for (const Contender& contender : all) line += fmt::format(" {:>7}", contender.name);
  log::info("{}   the first is x times default, best", line);
  for (std::int64_t size = 1; size <= largest; size *= 2) measure(*communicator, all, size, budget);
  all.clear();
  MPI_T_finalize();
}
