// Linear layers: see op_bench.h.
#include "op_bench.h"

namespace lockstep::ops {
namespace {

void add_linear(std::int64_t rows, std::int64_t in, std::int64_t out) {
  add(fmt::format("linear {}-{} batch {}", in, out, rows), [=] {
    return std::make_unique<Bench>(
        make(cpu_device(), Linear{rows, in, out, true, Activation::kRelu, in != 784}), rows * in,
        rows * out, std::vector{in * out, out});
  });
}

void add_all() {
  for (const std::int64_t batch : {128, 16}) {
    add_linear(batch, 784, 1024);
    add_linear(batch, 1024, 1024);
    add_linear(batch, 1024, 10);
  }
}

}  // namespace
}  // namespace lockstep::ops

int main(int argc, char** argv) {
  return lockstep::ops::run_benchmarks(argc, argv, lockstep::ops::add_all);
}
