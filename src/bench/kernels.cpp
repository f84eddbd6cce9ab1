#include <fmt/format.h>

#include <algorithm>

#include "bench/kernel.h"
#include "bench/rank_device.h"

namespace lockstep::bench {
namespace {

// Bytes that a cache may hold from one call to the next: then memory's rate is no ceiling.
constexpr double kCached = 32 << 20;

Row measured(comm::Communicator& communicator, const Ceilings& ceilings, const Subject& subject,
             const Kernel& kernel, double seconds) {
  Row row;
  row.group = subject.group;
  row.name = kernel.name.empty() ? subject.name : fmt::format("{}, {}", subject.name, kernel.name);
  row.verified = agreed(communicator, kernel.check());
  row.time = measure(communicator, kernel.run,
                     {.seconds = seconds, .together = true, .settle = kernel.settle});
  const double peak =
      kernel.precision == ops::Precision::kBf16 ? ceilings.bf16 : ceilings.fp32;
  if (kernel.flops > 0) row.figures.push_back({"rate", "flop/s", kernel.flops / row.time.median});
  row.figures.push_back({"moved", "B/s", kernel.bytes / row.time.median});
  const double computing = kernel.flops / peak, moving = kernel.bytes / ceilings.bandwidth;
  if (computing >= moving || kernel.bytes > kCached)
    row.of_ceiling = std::max(computing, moving) / row.time.median;
  return row;
}

}  // namespace

bool wanted(const std::vector<std::string>& only, const std::string& group,
            const std::string& name) {
  return only.empty() || std::ranges::any_of(only, [&](const std::string& text) {
           return text == group || (text.size() > group.size() &&
                                    fmt::format("{} {}", group, name).starts_with(text));
         });
}

std::vector<Row> measure_kernels(comm::Communicator& communicator, Device& device,
                                 const Ceilings& ceilings, const std::vector<Subject>& subjects,
                                 const Request& request) {
  std::vector<Row> rows;
  for (const Subject& subject : subjects) {
    if (!wanted(request.only, subject.group, subject.name)) continue;
    communicator.set_activity("a benchmark of kernels", -1);
    for (const Kernel& kernel : subject.make(device))
      rows.push_back(measured(communicator, ceilings, subject, kernel, request.seconds));
  }
  return rows;
}

Results bench_kernels(comm::Communicator& communicator, const Request& request) {
  const auto own = open_device(communicator, request.device);
  Device& device = own ? *own : cpu_device();
  std::vector<Subject> subjects = product_subjects(device);
  for (auto& more : {attention_subjects(device), row_subjects(), flat_subjects()})
    subjects.insert(subjects.end(), more.begin(), more.end());
  require_some(request.only, subjects);
  const Ceilings ceilings = measure_ceilings(communicator, device, request.seconds);
  Results results;
  results.title = "lockstep bench kernels";
  const bool cpu = device.is_host();
  results.facts = machine_facts(communicator, device);
  results.facts.emplace_back(
      "ceilings", fmt::format("fp32 {:.1f} Gflop/s, bf16 {:.1f} Gflop/s, memory {:.1f} GB/s, of {}",
                              ceilings.fp32 * 1e-9, ceilings.bf16 * 1e-9,
                              ceilings.bandwidth * 1e-9,
                              cpu ? "one core with all ranks at work" : "one device"));
  results.rows = measure_kernels(communicator, device, ceilings, subjects, request);
  results.notes = {
      "Each kernel was compared with its definition in double before it was timed; matrix products "
      "by sums with random signs (Freivalds 1977), attention on two heads.",
      "median, spread: seconds of a call, and the quartiles' distance in percent of it; all ranks "
      "run the kernel at once, the slowest counts.",
      "rate: flop of the definition by the median (multiply and add are two); moved: bytes that "
      "must be read and written at least.",
      cpu ? "ceiling: the larger of flop by the peak of one core's multiply-adds (bf16: twice "
            "that, where there is an instruction) and of bytes by the rate of c = a + b on arrays "
            "that no cache holds; none where up to 32 MiB are moved, which a cache may hold."
          : "ceiling: the larger of flop by the largest product's rate and of bytes by the rate of "
            "c = a + b; none where up to 32 MiB are moved, which a cache may hold."};
  return results;
}

}  // namespace lockstep::bench
