#include "train/data_passes.h"

#include <time.h>

#include "lockstep/core/clock.h"
#include "lockstep/core/events.h"
#include "lockstep/core/fault.h"

namespace lockstep::train {
namespace {

double cpu_seconds() {  // of the calling thread; a system call
  timespec t;
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// Every so many passes of a stream the CPU's time is taken as well.
constexpr std::int64_t kBetweenSamples = 8;

}  // namespace

void DataPasses::begin(std::int64_t step, data::Position at,
                       std::function<parallel::Requests()> requests) {
  step_ = step;
  at_ = at;
  requests_ = std::move(requests);
}

PassTimes DataPasses::times() const {
  PassTimes total;
  for (const StreamTimes& s : times_) {
    total.passes += s.times.passes;
    total.data += s.times.data;
    total.compute += s.times.compute;
    total.sampled += s.times.sampled;
    total.sampled_cpu += s.times.sampled_cpu;
  }
  return total;
}

void DataPasses::fill(const parallel::LanePass& pass) {
  const events::Span span(events::Kind::kData, "samples");
  const ScopedTimer timer(times_[pass.stream].times.data);
  fault::pass("data", pass.step + 1);
  const std::int64_t in_epoch = at_.step + pass.step - step_, epoch = loader_.steps_per_epoch();
  loader_.fill(pass.lane, {at_.epoch + in_epoch / epoch, in_epoch % epoch}, pass.micro,
               program_.input(pass.stream), program_.labels(pass.stream),
               program_.targets(pass.stream));
}

RandomKey DataPasses::key(const parallel::LanePass& pass) const {
  return {seed_, static_cast<std::uint64_t>(pass.step),
          static_cast<std::uint32_t>(pass.lane * accumulate_ + pass.micro)};
}

void DataPasses::run(const parallel::LanePass& pass) {
  events::set_step(pass.step + 1);
  const events::Span span(events::Kind::kStep, "lane", about(pass));
  PassTimes& times = times_[pass.stream].times;
  fill(pass);
  const bool samples = times.passes++ % kBetweenSamples == 0;
  const double cpu = samples ? cpu_seconds() : 0, start = seconds_now();
  fault::pass("forward", pass.step + 1);
  program_.train(pass.stream, key(pass), *pass.sink, *pass.record);
  // Threads that have used up their turn lose their core where they ask the system for something.
  const events::Detail measuring(events::Kind::kReport, "measuring the lane");
  const double seconds = seconds_now() - start;
  times.compute += seconds;
  if (!samples) return;
  times.sampled += seconds;
  times.sampled_cpu += cpu_seconds() - cpu;
}

void DataPasses::run_together(std::span<const parallel::LanePass> passes) {
  events::set_step(passes.front().step + 1);
  const events::Span span(events::Kind::kStep, "lanes", about(passes.front()));
  PassTimes& times = times_[passes.front().stream].times;
  for (std::size_t i = 0; i < passes.size(); ++i) {
    fill(passes[i]);
    fault::pass("forward", passes[i].step + 1);
    together_[i] = {passes[i].stream, key(passes[i]), passes[i].sink, passes[i].record};
  }
  const ScopedTimer timer(times.compute);
  times.passes += static_cast<std::int64_t>(passes.size());
  program_.train_together(std::span(together_).first(passes.size()));
}

}  // namespace lockstep::train
