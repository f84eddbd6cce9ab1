// Advice without a machine: what sizes alone tell.
#include <fmt/format.h>

#include "lockstep/core/units.h"
#include "lockstep/plan/advice.h"
#include "plan/choices.h"
#include "plan/closed_form.h"
#include "plan/sentences.h"
#include "plan/words.h"

namespace lockstep::plan {
namespace {

// Of one core of a server at least, with AVX2; said with the sentence.
constexpr double kCoreRate = 50e9;

double rank_bytes(const Job& job, const Layout& layout) {
  if (!job.memory) return 0;
  parallel::Options options = job.parallel;
  if (layout.ranks == 1) options.kind = parallel::Kind::kReplicated;
  double bytes = 0;
  for (const nn::LedgerRow& row : job.memory(layout, options)) bytes += double(row.bytes);
  return bytes;
}

}  // namespace

Advice advise_without_times(const Job& job) {
  Advice advice;
  advice.parallel = job.parallel;
  const double flops = job.flops() * static_cast<double>(job.steps);
  const double seconds = flops / kCoreRate;
  const bool closed = has_closed_form(job);
  advice.one_is_enough = closed || seconds <= kShortRun;
  const std::string why =
      fmt::format("all steps together are {}, {} at {}/s, which one core gives", flops_text(flops),
                  seconds_text(seconds), flops_text(kCoreRate));
  advice.sentences.push_back(
      advice.one_is_enough
          ? fmt::format("One process should be enough: {}.", why)
          : fmt::format("How many ranks it takes depends on the machine: {}.", why));
  if (std::string text = closed_form_text(job, nullptr); !text.empty())
    advice.sentences.push_back(std::move(text));
  advice.sentences.push_back(fmt::format(
      "It has {} parameters and {}; an epoch is {} steps, and one rank needs {}.",
      count_text(static_cast<double>(job.parameters)), data_text(job),
      grouped(static_cast<double>(job.steps_per_epoch)), bytes_text(rank_bytes(job, {1, 1}))));
  advice.sentences.push_back(
      "For times, ranks and bottlenecks: lockstep bench calibrate measures this machine into a "
      "file "
      "for --machine.");
  return advice;
}

}  // namespace lockstep::plan
