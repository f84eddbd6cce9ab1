// What a plan predicts of a step's compute, beside what the ops of that step take: by kind of op,
// in microseconds of one lane's microbatch, and the update. costs.py makes a table of many models.
//
//   bench_costs MACHINE MODEL LANES [BATCH [PRECISION [STEPS]]]
//   bench_costs FILE measure [KERNEL ...]
//
// MACHINE: a machine file with rates (lockstep bench calibrate), or what `measure` has written to
// FILE: the rates alone. Under mpirun all ranks work; rank 0 answers, one line a kind:
//   KIND predicted-forward measured-forward predicted-backward measured-backward
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>

#include "bench/preset_step.h"
#include "bench/rates.h"
#include "lockstep/config/machine.h"
#include "lockstep/core/error.h"
#include "lockstep/core/event_file.h"
#include "lockstep/core/isa.h"
#include "lockstep/plan/cost.h"
#include "plan/job_ops.h"

namespace lockstep {
namespace {

struct Seconds {
  double forward = 0, backward = 0;
};

// Of one step: of each op, summed over the lanes of this rank, and the update.
struct StepTimes {
  std::map<int, Seconds> ops;
  double update = 0, fold = 0;
};

StepTimes times_of(const events::Ring& ring, std::uint64_t since) {
  StepTimes times;
  for (const auto& thread : ring.threads) {
    for (const events::Record& r : thread.done) {
      if (r.begin < since) continue;
      const double seconds = 1e-9 * static_cast<double>(r.end - r.begin);
      const auto kind = static_cast<events::Kind>(r.kind);
      if (kind == events::Kind::kUpdate) times.update += seconds;
      if (kind == events::Kind::kFold) times.fold += seconds;
      if (kind != events::Kind::kOp) continue;
      Seconds& op = times.ops[r.number];
      // The loss is one with its gradient.
      (ring.text(r).starts_with("backward") || ring.text(r) == "forward again" ? op.backward
                                                                               : op.forward) +=
          seconds;
    }
  }
  return times;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Medians over steps.
StepTimes measured(bench::PresetStep& steps, int count) {
  std::vector<StepTimes> all;
  for (int i = 0; i < 2; ++i) steps.step();
  for (int i = 0; i < count; ++i) {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    const auto since = static_cast<std::uint64_t>(now.tv_sec) * 1000000000u +
                       static_cast<std::uint64_t>(now.tv_nsec);
    steps.step();
    all.push_back(times_of(events::parse_ring(events::image({}), "memory"), since));
  }
  const auto middle = [&](auto of) {
    std::vector<double> values;
    for (StepTimes& times : all) values.push_back(of(times));
    return median(values);
  };
  StepTimes found;
  for (const auto& [op, seconds] : all.front().ops)
    found.ops[op] = {middle([op = op](StepTimes& t) { return t.ops[op].forward; }),
                     middle([op = op](StepTimes& t) { return t.ops[op].backward; })};
  found.update = middle([](StepTimes& t) { return t.update; });
  found.fold = middle([](StepTimes& t) { return t.fold; });
  return found;
}

plan::Job job_of(const nn::Program& program, const bench::PresetSettings& settings) {
  plan::Job job;
  for (const nn::OpCost& cost : program.op_costs()) job.ops.push_back(plan::job_op(cost));
  job.precision = ops::name_of(settings.precision);
  job.parameters = program.table().elements();
  job.flat_elements = program.table().flat_elements();
  job.lanes = settings.lanes;
  return job;
}

void print(const char* name, const Seconds& predicted, const Seconds& taken) {
  std::printf(
      "%-34s %10.1f %10.1f %10.1f %10.1f %7.2f\n", name, predicted.forward * 1e6,
      taken.forward * 1e6, predicted.backward * 1e6, taken.backward * 1e6,
      (predicted.forward + predicted.backward) / std::max(taken.forward + taken.backward, 1e-12));
}

void compare(comm::Communicator& communicator, const plan::Device& device,
             const bench::PresetSettings& settings, int count, bool each) {
  bench::PresetStep steps(communicator, cpu_device(), settings);
  const plan::Job job = job_of(steps.program(), settings);
  const StepTimes found = measured(steps, count);
  if (communicator.rank() != 0) return;
  const auto lanes =
      static_cast<double>((settings.lanes + communicator.size() - 1) / communicator.size());
  const std::int64_t busy = communicator.topology().local_ranks();
  std::map<std::string, std::pair<Seconds, Seconds>> kinds;
  Seconds predicted, taken;
  int number = -1;
  std::string kind;
  for (std::size_t i = 0; i < job.ops.size();) {
    Seconds planned;
    const plan::JobOp& op = job.ops[i];
    ++number;
    do {  // the op, and what was fused into it
      const plan::OpSeconds s = op_seconds(job.ops[i], job.precision, device, busy);
      planned.forward += s.forward, planned.backward += s.backward;
    } while (++i < job.ops.size() && job.ops[i].fused);
    Seconds took;
    if (const auto at = found.ops.find(number); at != found.ops.end())
      took = {at->second.forward / lanes, at->second.backward / lanes};
    if (each) {
      std::string name = op.kind;
      for (const double n : op.size) name += fmt::format(" {:g}", n);
      print(name.c_str(), planned, took);
    }
    auto& [p, m] = kinds[op.kind];
    p.forward += planned.forward, p.backward += planned.backward;
    m.forward += took.forward, m.backward += took.backward;
    predicted.forward += planned.forward, predicted.backward += planned.backward;
    taken.forward += took.forward, taken.backward += took.backward;
  }
  for (const auto& [name, both] : kinds) print(name.c_str(), both.first, both.second);
  print("all", predicted, taken);
  const plan::WorkSeconds work = work_seconds(job, device, busy);
  print("update", {work.update, 0}, {found.update, 0});
}

int run(int argc, char** argv) {
  if (argc < 3)
    throw UserError(
        "usage: bench_costs MACHINE MODEL LANES [BATCH [PRECISION [STEPS]]], or FILE measure");
  set_float_environment();
  const auto communicator = comm::make_communicator({});
  if (std::string(argv[2]) == "measure") {
    plan::Machine machine;
    machine.name = "rates";
    machine.device.name = machine.device.kind = "cpu";
    bench::Request request;
    const std::vector<std::string> kernels(argv + 3, argv + argc);
    bench::measure_kernel_rates(*communicator, request, machine.device, kernels);
    if (communicator->rank() == 0) std::ofstream(argv[1]) << plan::machine_toml(machine);
    return 0;
  }
  const plan::Machine machine = config::read_machine(argv[1]);
  bench::PresetSettings settings;
  settings.model = argv[2];
  settings.lanes = argc > 3 ? std::atol(argv[3]) : 1;
  settings.batch = argc > 4 ? std::atol(argv[4]) : 0;
  if (argc > 5) settings.precision = ops::precision_from(argv[5]);
  settings = bench::complete(settings);
  const int steps = argc > 6 ? std::atoi(argv[6]) : 9;
  events::begin(1 << 17, 4);
  events::in_detail = true;
  compare(*communicator, machine.device, settings, steps, std::getenv("EACH") != nullptr);
  return 0;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  try {
    return lockstep::run(argc, argv);
  } catch (const lockstep::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return static_cast<int>(e.code());
  }
}
