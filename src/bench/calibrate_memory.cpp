// What one rank computes and moves alone, and beside others of its node.
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>

#include "bench/calibrate_parts.h"
#include "lockstep/core/clock.h"
#include "lockstep/core/memory.h"
#include "lockstep/device/device.h"

namespace lockstep::bench {
namespace {

constexpr std::size_t kPage = 4096 / sizeof(float);

// a = b + s c over arrays that no cache holds (McCalpin's STREAM). Bytes are counted as read and
// written by the program: three for each element's, whatever the cache fetches to write.
class Triad {
 public:
  explicit Triad(std::size_t bytes)
      : elements_(bytes / (3 * sizeof(float)) / kPage * kPage),
        a_(new float[elements_]),
        b_(new float[elements_]),
        c_(new float[elements_]) {
    for (std::size_t i = 0; i < elements_; ++i) {
      a_[i] = 0;
      b_[i] = static_cast<float>(i % 64);
      c_[i] = static_cast<float>(i % 32);
    }
  }
  void run() {
    float* __restrict a = a_.get();
    const float* __restrict b = b_.get();
    const float* __restrict c = c_.get();
    for (std::size_t i = 0; i < elements_; ++i) a[i] = b[i] + 3 * c[i];
    asm volatile("" : : "r"(a) : "memory");
  }
  double bytes() const { return 3.0 * sizeof(float) * static_cast<double>(elements_); }
  bool right() const {
    for (std::size_t i = 0; i < elements_; i += kPage + 1) {
      if (!(a_[i] == static_cast<float>(i % 64 + 3 * (i % 32)))) return false;
    }
    return true;
  }

 private:
  std::size_t elements_;
  std::unique_ptr<float[]> a_, b_, c_;
};

// 1, 2, 3, 4, 6, 8, 12, ... and all.
std::vector<std::int64_t> counts_up_to(std::int64_t ranks) {
  std::vector<std::int64_t> counts;
  for (std::int64_t k = 1; k < ranks;
       k += std::max<std::int64_t>(1, (k & (k - 1)) == 0 ? k / 2 : k / 3))
    counts.push_back(k);
  counts.push_back(ranks);
  return counts;
}

struct Rates {
  Timing triad;
  double fma = 0, bandwidth = 0;  // of a rank, the mean of those that worked
};

double mean_of_first(const std::vector<double>& values, std::int64_t count) {
  count = std::min(count, static_cast<std::int64_t>(values.size()));
  return std::accumulate(values.begin(), values.begin() + count, 0.0) / static_cast<double>(count);
}

// The first `working` ranks of each node at once; the others wait.
Rates rates_of(comm::Communicator& communicator, const Request& request, Triad& triad,
               std::int64_t working) {
  Rates rates;
  const bool works = communicator.topology().local() < working;
  // Not the best of many: a core's clock falls while it works.
  const int repetitions = std::clamp(static_cast<int>(request.seconds / 0.02), 3, 15);
  std::vector<double> peaks;
  communicator.barrier();
  for (int i = 0; works && i < repetitions; ++i) peaks.push_back(measure_fma_peak());
  std::ranges::sort(peaks);
  rates.fma =
      mean_of_first(on_first_node(communicator, works ? peaks[peaks.size() / 2] : 0), working);
  communicator.barrier();
  if (works) rates.triad = measure_thread([&] { triad.run(); }, request.seconds);
  rates.bandwidth = mean_of_first(
      on_first_node(communicator, works ? triad.bytes() / rates.triad.median : 0), working);
  return rates;
}

double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace

Timing measure_thread(const std::function<void()>& work, double seconds) {
  const auto repetition = [&work](std::int64_t calls) {
    const double start = thread_seconds();
    for (std::int64_t i = 0; i < calls; ++i) work();
    return (thread_seconds() - start) / static_cast<double>(calls);
  };
  Timing timing;
  timing.repetitions = 7;
  repetition(1);
  const double each = seconds / static_cast<double>(timing.repetitions);
  timing.calls =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(each / std::max(repetition(1), 1e-8)));
  std::vector<double> times;
  for (std::int64_t i = 0; i < timing.repetitions; ++i) times.push_back(repetition(timing.calls));
  std::ranges::sort(times);
  timing.median = times[3];
  timing.least = times.front();
  timing.most = times.back();
  timing.spread = (times[5] - times[1]) / timing.median;
  return timing;
}

std::vector<double> on_first_node(comm::Communicator& communicator, double mine) {
  const std::vector<std::byte> bytes = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  std::vector<double> all(bytes.size() / sizeof mine);
  std::memcpy(all.data(), bytes.data(), bytes.size());
  all.resize(static_cast<std::size_t>(communicator.topology().node_begin[1]));
  return all;
}

std::size_t last_level_cache() {
  long most = 0;
  for (const int name : {_SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE, _SC_LEVEL4_CACHE_SIZE})
    most = std::max(most, sysconf(name));
  return most > 0 ? static_cast<std::size_t>(most) : std::size_t{32} << 20;
}

void measure_compute_and_memory(comm::Communicator& communicator, const Request& request,
                                Calibration& out) {
  const std::int64_t ranks = communicator.topology().node_begin[1];
  // Four times the cache, as STREAM asks; never more than a quarter of the memory of all.
  const std::size_t wanted = 4 * last_level_cache();
  const std::size_t room = memory_limit().bytes / 4 / static_cast<std::size_t>(ranks);
  Triad triad(room > 0 ? std::min(wanted, room) : wanted);
  plan::Device& device = out.machine.device;
  double alone_fma = 0, alone_bandwidth = 0;
  for (const std::int64_t working : counts_up_to(ranks)) {
    const Rates rates = rates_of(communicator, request, triad, working);
    if (working == 1) {
      device.fp32 = alone_fma = rates.fma;
      device.memory_bandwidth = alone_bandwidth = rates.bandwidth;
    }
    const auto kept = [](double now, double alone) { return std::clamp(now / alone, 0.01, 1.0); };
    device.contention.push_back(
        {working, kept(rates.fma, alone_fma), kept(rates.bandwidth, alone_bandwidth)});
    Row row{"memory and compute",
            working == 1 ? "one rank alone" : std::to_string(working) + " ranks at once",
            rates.triad,
            triad.right() || communicator.topology().local() >= working
                ? "ok"
                : "the triad's sums are wrong",
            0,
            {}};
    row.figures = {{"FMA peak", "flop/s", rates.fma}, {"triad", "B/s", rates.bandwidth}};
    out.results.rows.push_back(std::move(row));
  }
}

}  // namespace lockstep::bench
