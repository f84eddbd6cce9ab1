#include "bench/rates.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "bench/rate_grid.h"
#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/device/cuda.h"
#include "lockstep/ops/precision.h"
#include "lockstep/plan/cost.h"

namespace lockstep::bench {
namespace {

constexpr int kRounds = 5;
constexpr int kBf16Capability = 80;  // the first GPUs with bf16 products
// Of a round, in both directions, where calls are short; of Request::seconds.
constexpr double kRoundPart = 0.02;

// Seconds of this thread on a processor: on a machine that others use too, what a kernel takes.
double thread_seconds() {
  timespec at{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return static_cast<double>(at.tv_sec) + 1e-9 * static_cast<double>(at.tv_nsec);
}

struct Seconds {
  double forward = 0, backward = 0;  // of a call
};

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

class TrialClock {
 public:
  TrialClock(comm::Communicator& communicator, const Request& request)
      : communicator_(communicator),
        on_host_(request.device == "cpu"),
        round_(kRoundPart * request.seconds) {}

  // Forward through the sets of weights, then backward, as a lane goes through its layers.
  Seconds measure(const Trial& trial) {
    if (trial.between > 0) return {after_the_rest(trial), 0};
    sweep(trial.run_forward, trial, trial.sets, 1);
    sweep(trial.run_backward, trial, trial.sets, 1);
    const double once =
        slowest(sweep(trial.run_forward, trial, 1, 1) + sweep(trial.run_backward, trial, 1, 1));
    const int sets = std::clamp(static_cast<int>(round_ / once), 1, trial.sets);
    const int times = std::clamp(static_cast<int>(round_ / (once * sets)), 1, 1 << 12);
    std::vector<double> forward, backward;
    communicator_.barrier();
    for (int round = 0; round < kRounds; ++round) {
      forward.push_back(sweep(trial.run_forward, trial, sets, times));
      backward.push_back(sweep(trial.run_backward, trial, sets, times));
    }
    return {slowest(median(forward)), slowest(median(backward))};
  }

 private:
  double after_the_rest(const Trial& trial) {
    rest_.resize(std::max(rest_.size(), trial.between / sizeof(float)));
    std::vector<double> seconds;
    sweep(trial.run_forward, trial, trial.sets, 1);
    communicator_.barrier();
    for (int round = 0; round < kRounds; ++round) {
      // Read and written, as a step does; on a device its caches hold less than a step.
      for (std::size_t i = 0; i < trial.between / sizeof(float); ++i) rest_[i] += 1;
      seconds.push_back(sweep(trial.run_forward, trial, 1, 1));
    }
    return slowest(median(seconds));
  }
  // Seconds of a call.
  double sweep(const std::function<void(int)>& run, const Trial& trial, int sets, int times) const {
    if (!run) return 0;
    const double start = now();
    for (int i = 0; i < times; ++i) {
      for (int set = 0; set < sets; ++set) run(set);
    }
    trial.stream->synchronize();
    return std::max(now() - start, 1e-9) / (times * sets);
  }
  double now() const { return on_host_ ? thread_seconds() : seconds_now(); }
  double slowest(double seconds) const {
    return 1e-12 * static_cast<double>(
                       communicator_.max(static_cast<std::int64_t>(std::llround(seconds * 1e12))));
  }

  comm::Communicator& communicator_;
  const bool on_host_;
  const double round_;
  std::vector<float> rest_;
};

plan::KernelRate measured(TrialClock& clock, Device& device, const GridPoint& point) {
  const Trial trial = point.make(device);
  const Seconds seconds = clock.measure(trial);
  plan::KernelRate rate;
  rate.kernel = point.kernel;
  rate.precision = ops::name_of(point.precision);
  rate.size = point.size;
  const auto of = [](double work, double time) { return time > 0 ? work / time : 0; };
  rate.forward = of(trial.forward, seconds.forward);
  rate.backward = of(trial.backward, seconds.backward);
  return rate;
}

// A product that lives in cache, and an update that does not.
std::vector<GridPoint> contended_points() {
  std::vector<GridPoint> points;
  for (GridPoint& p : product_points(ops::Precision::kFp32)) {
    if (p.kernel == "linear" && p.size == std::vector<double>{512, 128, 512})
      points.push_back(std::move(p));
  }
  for (GridPoint& p : update_points()) {
    if (p.kernel == "adamw" && p.size == std::vector<double>{1 << 22, 64 << 20})
      points.push_back(std::move(p));
  }
  return points;
}

// What all ranks at work keep of the rates of one that works alone.
plan::Contention kept_of_rates(comm::Communicator& communicator, Device& device,
                               const Request& request) {
  plan::Contention kept;
  kept.ranks = communicator.topology().local_ranks();
  for (const GridPoint& point : contended_points()) {
    TrialClock all(communicator, request);
    const double together = measured(all, device, point).forward;
    double alone = 0;
    if (communicator.topology().position == 0) {
      const auto self = comm::make_self_communicator();
      TrialClock one(*self, request);
      alone = measured(one, device, point).forward;
    }
    comm::broadcast_value(communicator, alone, communicator.topology().rank_at[0]);
    (plan::counts_flops(point.kernel) ? kept.compute : kept.memory) =
        std::clamp(together / alone, 0.01, 1.0);
  }
  return kept;
}

// In the place of what there is for as many ranks.
void put(std::vector<plan::Contention>& all, const plan::Contention& one) {
  if (all.empty()) all.push_back({});
  std::erase_if(all, [&](const plan::Contention& c) { return c.ranks == one.ranks; });
  all.push_back(one);
  std::ranges::sort(all, {}, &plan::Contention::ranks);
}

std::vector<GridPoint> all_points(bool bf16) {
  std::vector<GridPoint> points;
  const auto append = [&](std::vector<GridPoint> more) {
    std::ranges::move(more, std::back_inserter(points));
  };
  for (const ops::Precision precision : {ops::Precision::kFp32, ops::Precision::kBf16}) {
    if (precision == ops::Precision::kBf16 && !bf16) continue;
    append(product_points(precision));
    append(convolution_points(precision));
    append(pack_points(precision));
  }
  append(pass_points());
  append(update_points());
  return points;
}

// In a hurry a few sizes of each kernel stand for all.
std::vector<GridPoint> in_time(std::vector<GridPoint> points, double seconds) {
  constexpr double kHurry = 0.05;
  constexpr int kOneOf = 16;
  if (seconds >= kHurry) return points;
  std::map<std::string, int> seen;
  std::erase_if(points, [&](const GridPoint& point) {
    return seen[fmt::format("{} {}", point.kernel, ops::name_of(point.precision))]++ % kOneOf != 0;
  });
  return points;
}

}  // namespace

void measure_kernel_rates(comm::Communicator& communicator, const Request& request,
                          plan::Device& device, const std::vector<std::string>& kernels) {
  const comm::Topology& topology = communicator.topology();
  const bool on_host = request.device == "cpu";
  std::unique_ptr<Device> cuda;
  communicator.together([&] {
    if (on_host) return;
    CudaChoice choice;
    choice.device = request.device;
    choice.local_rank = topology.local();
    choice.local_ranks = topology.local_ranks();
    choice.who = fmt::format("rank {}", communicator.rank());
    cuda = make_cuda_device(choice);
  });
  Device& on = cuda ? *cuda : cpu_device();
  const bool bf16 = on_host ? ops::has_bf16_arithmetic() : cuda_capability(on) >= kBf16Capability;
  plan::Contention kept;
  if (communicator.size() > 1)
    put(device.contention, kept = kept_of_rates(communicator, on, request));
  TrialClock clock(communicator, request);
  for (const GridPoint& point : in_time(all_points(bf16), request.seconds)) {
    if (!kernels.empty() && std::ranges::find(kernels, point.kernel) == kernels.end()) continue;
    plan::KernelRate rate = measured(clock, on, point);
    const double part = plan::waits_for_memory(rate.kernel, rate.size) ? kept.memory : kept.compute;
    rate.forward /= part;
    rate.backward /= part;
    device.rates.push_back(std::move(rate));
  }
  // The least op there is.
  for (const plan::KernelRate& rate : device.rates) {
    if (rate.kernel == "relu" && rate.size.front() <= 256)
      device.overhead = 8 * rate.size.front() / rate.forward;
  }
}

}  // namespace lockstep::bench
