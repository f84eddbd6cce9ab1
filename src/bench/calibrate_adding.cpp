// What the fold does on a node: it waits for a flag, then adds a neighbour's leaf to its own.
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <span>

#include "bench/calibrate_parts.h"
#include "lockstep/core/clock.h"
#include "lockstep/core/units.h"
#include "lockstep/ops/vector.h"

namespace lockstep::bench {
namespace {

constexpr std::int64_t kBlock = 4096;  // elements that the fold adds at a time
constexpr std::int64_t kLeaves[] = {64 << 10, 1 << 20, 4 << 20, 16 << 20};  // bytes
constexpr std::int64_t kLargest = kLeaves[3];
// A rank's part of the window: a line of its own for the flag, a leaf, and, of the first rank,
// where sums go: together less than the 64 MiB that containers have.
constexpr std::size_t kLeafAt = 64, kSumAt = kLeafAt + kLargest;

std::size_t part_of(int local) {
  return local == 0 ? kSumAt + kLargest : local == 1 ? kSumAt : kLeafAt;
}

void add_leaves(float* sum, const float* a, const float* b, std::int64_t elements) {
  for (std::int64_t at = 0; at < elements; at += kBlock)
    ops::add(sum + at, a + at, b + at, std::min(kBlock, elements - at));
}

void measure_fold(comm::Communicator& communicator, const Request& request,
                  comm::SharedWindow& window, Calibration& out) {
  const comm::Topology& topology = communicator.topology();
  const int local = topology.local(), neighbour = topology.local_ranks() > 1 ? 1 - local : local;
  for (const std::int64_t bytes : kLeaves) {
    const auto elements = static_cast<std::int64_t>(bytes / sizeof(float));
    if (local < 2) {
      auto* const leaf = reinterpret_cast<float*>(window.part(local) + kLeafAt);
      for (std::int64_t i = 0; i < elements; ++i) leaf[i] = static_cast<float>(i % 97 + local);
    }
    communicator.barrier();
    Row row{"fold", bytes_text(static_cast<double>(bytes)) + " leaf", {}, "ok", 0, {}};
    double rate = 0;
    if (local == 0) {
      const auto* const mine = reinterpret_cast<const float*>(window.part(0) + kLeafAt);
      const auto* const theirs = reinterpret_cast<const float*>(window.part(neighbour) + kLeafAt);
      auto* const sum = reinterpret_cast<float*>(window.part(0) + kSumAt);
      row.time = measure_thread([&] { add_leaves(sum, mine, theirs, elements); }, request.seconds);
      for (std::int64_t i = 0; i < elements; i += 61) {
        if (!(sum[i] == mine[i] + theirs[i])) row.verified = "a sum of two leaves is wrong";
      }
      rate = static_cast<double>(bytes) / row.time.median;
    }
    rate = on_first_node(communicator, rate)[0];
    out.machine.device.rates.push_back({"fold", "fp32", {static_cast<double>(bytes)}, rate, 0});
    row.figures = {{"leaf added", "B/s", rate}};
    out.results.rows.push_back(std::move(row));
  }
}

// A number goes there and back between two ranks of a node, each in a line of its own.
void measure_flag(comm::Communicator& communicator, const Request& request,
                  comm::SharedWindow& window, Calibration& out) {
  const comm::Topology& topology = communicator.topology();
  if (topology.node_begin[1] < 2) return;
  const int local = topology.local();
  constexpr std::uint64_t kTrips = 200;
  Row row{"flag in shared memory", "one way", {}, "-", 0, {}};
  double seconds = 0;
  if (topology.local_ranks() > 1 && local < 2) {
    std::atomic_ref<std::uint64_t> mine(*reinterpret_cast<std::uint64_t*>(window.part(local)));
    std::atomic_ref<std::uint64_t> theirs(
        *reinterpret_cast<std::uint64_t*>(window.part(1 - local)));
    // As the fold waits: it looks, and gives its core away when that takes long.
    const auto await = [&](std::uint64_t value) {
      for (int looks = 0; theirs.load(std::memory_order_acquire) < value; ++looks) {
        if (looks > 1000) sched_yield();
      }
    };
    std::vector<double> times;
    std::uint64_t count = 0;
    const int repetitions = std::clamp(static_cast<int>(request.seconds / 100e-6), 11, 2001);
    for (int i = 0; i < repetitions; ++i) {
      const double start = seconds_now();
      for (std::uint64_t trip = 0; trip < kTrips; ++trip) {
        ++count;
        if (local == 0) {
          mine.store(count, std::memory_order_release);
          await(count);
        } else {
          await(count);
          mine.store(count, std::memory_order_release);
        }
      }
      times.push_back((seconds_now() - start) / (2 * kTrips));
    }
    std::ranges::sort(times);
    const auto at = [&](double part) {
      return times[static_cast<std::size_t>(part * static_cast<double>(times.size() - 1))];
    };
    row.time = {at(0.5),     times.front(), times.back(), (at(0.75) - at(0.25)) / at(0.5),
                repetitions, 2 * kTrips};
    seconds = times.front();  // whatever disturbs it only adds
  }
  seconds = on_first_node(communicator, seconds)[0];
  row.figures = {{"best", "s", seconds}};
  out.machine.levels.front().flag = seconds;
  out.results.rows.push_back(std::move(row));
}

}  // namespace

void measure_adding(comm::Communicator& communicator, const Request& request, Calibration& out) {
  const auto window = communicator.make_window(part_of(communicator.topology().local()),
                                               "measuring how leaves are added");
  measure_fold(communicator, request, *window, out);
  communicator.barrier();
  if (!out.machine.levels.empty()) measure_flag(communicator, request, *window, out);
  communicator.barrier();
}

}  // namespace lockstep::bench
