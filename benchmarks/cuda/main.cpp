// Verifies each kernel against its reference form, then times it: GB/s or TFLOP/s, and percent of
// what this GPU was measured to reach. The L2 cache is flushed before each run; medians.
//
//   bench_kernels [--json FILE] [--tiny] [--only TEXT]    on a GPU
//   bench_kernels --floors                                without: least times by data sheet
#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

#include "ceilings.h"
#include "entry.h"
#include "lockstep/core/error.h"
#include "lockstep/device/cuda.h"

namespace lockstep::bench {
namespace {

struct Options {
  std::string json, only;
  bool tiny = false, floors = false;
};

std::vector<Entry> all_entries(bool tiny) {
  std::vector<Entry> all;
  for (auto* make : {norm_entries, loss_entries, attention_entries, update_entries, pass_entries}) {
    for (Entry& e : make(tiny)) all.push_back(std::move(e));
  }
  return all;
}

// Data sheets (NVIDIA): A100 SXM 80 GB, H100 SXM, B200 SXM; dense, without sparsity. GB/s, fp32 and
// bf16 TFLOP/s.
struct Sheet {
  const char* name;
  double bandwidth, fp32, bf16;
};
constexpr Sheet kSheets[] = {
    {"A100", 2039, 19.5, 312}, {"H100", 3350, 67, 989}, {"B200", 8000, 75, 2250}};

double floor_seconds(const Entry& e, const Sheet& s) {
  const double peak = (e.arithmetic == Arithmetic::kBf16 ? s.bf16 : s.fp32) * 1e12;
  return std::max(e.bytes / (s.bandwidth * 1e9), e.flops / peak);
}

void print_floors() {
  fmt::print("| kernel | shape | MB moved | GFLOP | A100, us | H100, us | B200, us |\n");
  fmt::print("| --- | --- | --- | --- | --- | --- | --- |\n");
  for (const Entry& e : all_entries(false)) {
    fmt::print("| {} | {} | {:.1f} | {:.2f} |", e.name, e.shape, e.bytes / 1e6, e.flops / 1e9);
    for (const Sheet& s : kSheets) fmt::print(" {:.1f} |", floor_seconds(e, s) * 1e6);
    fmt::print("\n");
  }
}

std::string json_row(const Entry& e, double error, double seconds, double percent) {
  return fmt::format(
      "{{\"kernel\": \"{}\", \"shape\": \"{}\", \"deviation\": {:.3g}, \"microseconds\": {:.3f}, "
      "\"gigabytes_per_second\": {:.1f}, \"teraflops\": {:.3f}, \"percent_of_ceiling\": {:.1f}}}",
      e.name, e.shape, error, seconds * 1e6, e.bytes / seconds * 1e-9, e.flops / seconds * 1e-12,
      percent);
}

int run(const Options& options) {
  const auto device = make_cuda_device({.device = "cuda:0", .who = "bench_kernels"});
  fmt::print("{}\n", cuda_description(*device));
  const Ceilings ceilings = measure_ceilings(*device, options.tiny);
  fmt::print("measured: {:.0f} GB/s, fp32 {:.1f} TFLOP/s, bf16 {:.1f} TFLOP/s\n",
             ceilings.bandwidth * 1e-9, ceilings.fp32 * 1e-12, ceilings.bf16 * 1e-12);
  fmt::print("{:<28} {:<30} {:>10} {:>10} {:>9} {:>9} {:>8}\n", "kernel", "shape", "deviation",
             "us", "GB/s", "TFLOP/s", "ceiling");
  Timer timer(*device);
  int wrong = 0;
  std::string rows;
  for (const Entry& e : all_entries(options.tiny)) {
    if (e.name.find(options.only) == std::string::npos) continue;
    const Running r = e.build(*device);
    const double error = r.error(timer.stream());
    const bool right = error <= r.allowed;
    wrong += right ? 0 : 1;
    const double seconds = timer.median_seconds(r.run, options.tiny ? 2 : 21);
    const double peak = e.arithmetic == Arithmetic::kBf16 ? ceilings.bf16 : ceilings.fp32;
    const double percent = 100 * std::max(e.bytes / ceilings.bandwidth, e.flops / peak) / seconds;
    fmt::print("{:<28} {:<30} {:>10.2g} {:>10.1f} {:>9.0f} {:>9.2f} {:>7.0f}%{}\n", e.name, e.shape,
               error, seconds * 1e6, e.bytes / seconds * 1e-9, e.flops / seconds * 1e-12, percent,
               right ? "" : "  WRONG");
    rows += (rows.empty() ? "" : ",\n    ") + json_row(e, error, seconds, percent);
  }
  if (!options.json.empty()) {
    std::ofstream(options.json) << fmt::format(
        "{{\n  \"device\": \"{}\",\n  \"bandwidth\": {:.4g},\n  \"fp32\": {:.4g},\n  \"bf16\": "
        "{:.4g},\n  \"kernels\": [\n    {}\n  ]\n}}\n",
        cuda_description(*device), ceilings.bandwidth, ceilings.fp32, ceilings.bf16, rows);
  }
  if (wrong > 0) fmt::print("{} kernels deviate from their references\n", wrong);
  return wrong > 0 ? 1 : 0;
}

Options parse(int count, char** arguments) {
  Options options;
  for (int i = 1; i < count; ++i) {
    const std::string a = arguments[i];
    const auto value = [&] { return i + 1 < count ? arguments[++i] : ""; };
    if (a == "--json")
      options.json = value();
    else if (a == "--only")
      options.only = value();
    else if (a == "--tiny")
      options.tiny = true;
    else if (a == "--floors")
      options.floors = true;
    else
      throw UserError("usage: bench_kernels [--json FILE] [--tiny] [--only TEXT] [--floors]");
  }
  return options;
}

}  // namespace
}  // namespace lockstep::bench

int main(int count, char** arguments) {
  try {
    const auto options = lockstep::bench::parse(count, arguments);
    if (!options.floors) return lockstep::bench::run(options);
    lockstep::bench::print_floors();
    return 0;
  } catch (const lockstep::Error& error) {
    fmt::print(stderr, "bench_kernels: {}\n", error.what());
    return static_cast<int>(error.code());
  }
}
