#include "plan/closed_form.h"

#include <fmt/format.h>

#include <algorithm>

#include "lockstep/core/units.h"
#include "plan/words.h"

namespace lockstep::plan {
namespace {

// Beyond them the system is work for a solver of its own: more than 8 GiB, or a minute at 100
// GFLOP/s.
constexpr double kMostBytes = 8.0 * (1LL << 30);
constexpr double kMostFlops = 6e12;

bool is_small(const LeastSquares& system) {
  return system.bytes <= kMostBytes && system.flops <= kMostFlops;
}

std::string system_text(const Job& job, const Machine* machine) {
  const LeastSquares system = least_squares(job);
  std::string text = fmt::format("{} rows x {} columns, {} to solve", grouped(system.rows),
                                 grouped(system.columns), flops_text(system.flops));
  if (machine != nullptr)
    text += ", " + seconds_text(seconds_of(system, job, *machine)) + " on one process";
  return text;
}

}  // namespace

bool is_linear(const Job& job) {
  if (job.sequence > 0) return false;
  int linear = 0;
  for (const JobOp& op : job.ops) {
    if (op.kind == "linear" || op.kind == "linear_input" || op.kind == "linear_cross_entropy")
      ++linear;
    else if (op.layer != "loss")
      return false;
  }
  return linear == 1;
}

LeastSquares least_squares(const Job& job) {
  LeastSquares system;
  const double n = job.data.samples, p = job.data.values + 1;
  const double k = static_cast<double>(std::max<std::int64_t>(1, job.outputs));
  system.rows = n, system.columns = p, system.targets = k;
  system.flops = n * p * (p + 1) + 2 * n * p * k + p * p * p / 3 + 2 * p * p * k;
  system.bytes = 8 * p * p;
  return system;
}

double seconds_of(const LeastSquares& system, const Job& job, const Machine& machine) {
  const double compute = machine.device.fp32 > 0 ? system.flops / (machine.device.fp32 / 2) : 0.0;
  const double read = machine.files.read > 0 ? job.data.total_bytes / machine.files.read : 0.0;
  return std::max(compute, read);
}

bool has_closed_form(const Job& job) {
  return is_linear(job) && job.loss == "mse" && is_small(least_squares(job));
}

std::string closed_form_text(const Job& job, const Machine* machine) {
  if (!is_linear(job) || !is_small(least_squares(job))) return {};
  const std::string system = system_text(job, machine);
  if (job.loss == "mse") {
    return fmt::format(
        "The model is one linear layer under squared error: that is least squares, "
        "which has a closed form ({}) and needs no training.",
        system);
  }
  return fmt::format(
      "The model is one linear layer, so its loss ({}) is convex: it has one minimum, "
      "though no closed form. Least squares on the same data has one ({}) and shows "
      "how far a linear model gets.",
      job.loss, system);
}

}  // namespace lockstep::plan
