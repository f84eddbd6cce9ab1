// Inverted dropout (Srivastava et al. 2014). The numbers are RandomKey::word's; the mask is drawn
// again in backward instead of being kept.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "lockstep/ops/op.h"
#include "ops/cpu/kernels.h"
#include "ops/cpu/make.h"
#include "ops/cpu/sample_slices.h"
#include "ops/passes.h"

namespace lockstep::ops {
namespace {

class CpuDropout : public Op {
 public:
  explicit CpuDropout(const Dropout& d) : d_(d) { check(d); }

  std::string_view kind() const override { return "dropout"; }

  void forward(const Args& args) const override { forward_slice(args, {}); }
  void backward(const Args& args) const override { backward_slice(args, {}); }

  // Slices begin where 16 Philox blocks of 4 numbers do.
  std::int64_t slices() const override {
    const std::int64_t slices = sample_slices(d_.samples, d_.elements);
    return d_.elements % 64 == 0 ? std::gcd(slices, d_.elements / 64) : 1;
  }
  void forward_slice(const Args& args, Slice slice) const override {
    if (args.mode == Mode::kTrain) return multiply(args, slice, args.output, args.inputs[0]);
    if (args.output == args.inputs[0]) return;
    std::memcpy(args.output, args.inputs[0], d_.elements / slice.count * sizeof(float));
  }
  void backward_slice(const Args& args, Slice slice) const override {
    if (args.d_inputs[0] != nullptr) multiply(args, slice, args.d_inputs[0], args.d_output);
  }

  bool backward_needs_inputs() const override { return false; }
  bool in_place() const override { return true; }
  Cost cost() const override { return cost_of(d_); }

 private:
  void multiply(const Args& args, Slice slice, float* y, const float* x) const {
    // The counter's first word numbers 2^32 blocks of 4 elements; a call stays within them.
    constexpr std::int64_t kSpan = std::int64_t{1} << 34;
    const std::int64_t n = d_.elements / slice.count, end = n * (slice.index + 1);
    for (std::int64_t begin = n * slice.index; begin < end;) {
      const std::int64_t length = std::min(kSpan - begin % kSpan, end - begin);
      const auto counter = args.random.counter(begin / 4);
      const DropoutStream stream{
          .counter = {counter[0], counter[1], counter[2], counter[3]},
          .key = args.random.seed,
          // rate < 1 as a float is at most 1 - 2^-24, so that this fits.
          .threshold = static_cast<std::uint32_t>(std::ceil(double{d_.rate} * 0x1p32)),
          .scale = 1 / (1 - d_.rate)};
      kernels().dropout(y, x, length, stream);
      y += length, x += length, begin += length;
    }
  }

  Dropout d_;
};

}  // namespace

std::unique_ptr<Op> make_cpu(const Dropout& d) {
  return std::make_unique<CpuDropout>(d);
}

}  // namespace lockstep::ops
