#include <fmt/format.h>

#include <algorithm>

#include "bench/stepper.h"

namespace lockstep::bench {
namespace {

// Seconds of a step by phase, the mean over ranks, from what each counted in so many seconds of
// steps.
std::vector<Row> phase_rows(comm::Communicator& communicator, const train::StepTimes& before,
                            const train::StepTimes& after, double step) {
  const double total = after.total - before.total;
  const std::vector<std::pair<std::string, double>> mine{
      {"compute", after.compute - before.compute}, {"fold", after.fold - before.fold},
      {"exposed", after.exposed - before.exposed}, {"data", after.data - before.data},
      {"hidden", after.hidden - before.hidden}};
  std::vector<Row> rows;
  for (const auto& [name, seconds] : mine) {
    const double part = total > 0 ? seconds / total : 0;
    const auto all = communicator.gather_all(std::as_bytes(std::span(&part, 1)));
    const std::span<const double> parts(reinterpret_cast<const double*>(all.data()),
                                        all.size() / sizeof(double));
    double mean = 0;
    for (const double p : parts) mean += p / static_cast<double>(parts.size());
    Row row;
    row.group = "phases";
    row.name = name;
    row.verified = "-";
    row.figures = {{"seconds a step", "s", mean * step},
                   {"of the step", "part", mean},
                   {"least", "part", std::ranges::min(parts)},
                   {"most", "part", std::ranges::max(parts)}};
    rows.push_back(std::move(row));
  }
  return rows;
}

Row step_row(const StepSubject& subject, const Stepper& stepper, const Timing& time, double peak) {
  Row row;
  row.group = "step";
  row.name = subject.facts.front().second;
  row.time = time;
  const double samples = static_cast<double>(subject.batch) / time.median;
  row.figures.push_back({"samples", "/s", samples});
  if (stepper.sequence() > 0)
    row.figures.push_back({"tokens", "/s", samples * static_cast<double>(stepper.sequence())});
  row.figures.push_back({"rate", "flop/s", stepper.flops() / time.median});
  row.of_ceiling = stepper.flops() / time.median / peak;
  return row;
}

}  // namespace

Results bench_step(comm::Communicator& communicator, const Request& request) {
  const StepSubject subject = step_subject(request);
  require_some(request.only, std::vector<std::string>{"step", "phases"});
  Results results;
  results.title = "lockstep bench step";
  std::unique_ptr<Device> own = open_device(communicator, subject.device);
  Device& device = own ? *own : cpu_device();
  results.facts = machine_facts(communicator, device);
  const Ceilings ceilings = measure_ceilings(communicator, device, request.seconds);
  own.reset();
  results.facts.insert(results.facts.end(), subject.facts.begin(), subject.facts.end());

  communicator.set_activity("a benchmark of steps", -1);
  Hash128 first;
  {
    const auto stepper = subject.make(communicator, subject.lanes, subject.batch);
    first = digest_after_steps(*stepper);
  }
  const auto stepper = subject.make(communicator, subject.lanes, subject.batch);
  const Hash128 again = digest_after_steps(*stepper);
  const train::StepTimes before = stepper->times();
  const Timing time = measure_steps(communicator, *stepper, request.seconds);
  const double peak =
      (subject.precision == ops::Precision::kBf16 ? ceilings.bf16 : ceilings.fp32) *
      subject.threads * communicator.size();
  Row row = step_row(subject, *stepper, time, peak);
  row.verified = agreed(communicator, first == again
                                          ? ""
                                          : fmt::format("the digest after the same steps is {} and "
                                                        "then {}",
                                                        first.text(), again.text()));
  results.facts.emplace_back("digest", first.text());
  if (wanted(request.only, "step", "")) results.rows.push_back(std::move(row));
  const auto phases = phase_rows(communicator, before, stepper->times(), time.median);
  if (wanted(request.only, "phases", ""))
    results.rows.insert(results.rows.end(), phases.begin(), phases.end());
  results.notes = {
      "Verified: the digest of parameters and optimizer state after the same steps, made twice from "
      "the first values on.",
      "ceiling: flop of forward and backward by what all ranks' cores (or devices) were measured to "
      "give at most.",
      "phases: means over ranks of what each rank counts; least and most over ranks. exposed: "
      "waiting for other ranks; hidden: messages in flight meanwhile, no part of the sum; data: "
      "waiting for samples. compute has the update."};
  return results;
}

}  // namespace lockstep::bench
