// Multi-head attention on the cpu: the loops are in attention_*.inl. Saved for backward: two
// numbers a row and head. All else is computed again.
#include <cmath>
#include <vector>

#include "lockstep/core/error.h"
#include "lockstep/ops/op.h"
#include "ops/attention_rules.h"
#include "ops/cpu/attention_kernels.h"
#include "ops/cpu/make.h"

namespace lockstep::ops {
namespace {

std::int64_t rounded_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }

class CpuAttention : public Op {
 public:
  explicit CpuAttention(const Attention& d) : d_(d) {
    check(d);
    padded_ = rounded_up(d.width, 16);
    keys_ = rounded_up(d.cache > 0 ? d.cache : d.tokens, kPanelKeys);
    rotation_ = rotation_table(d);
  }

  std::string_view kind() const override { return "attention"; }

  void forward(const Args& args) const override { forward_slice(args, {}); }
  void backward(const Args& args) const override { backward_slice(args, {}); }

  void forward_slice(const Args& args, Slice slice) const override {
    AttentionPass pass = pass_of(args);
    pass.drop = d_.dropout > 0 && args.mode == Mode::kTrain;
    auto* workspace = static_cast<float*>(args.workspace);
    if (d_.cache > 0) {
      check_cached(d_, args);
      pass.position = args.position;
      pass.store_step = store_floats();
      pass.scratch = workspace;
    } else {
      pass.stores = workspace;
      pass.scratch = workspace + store_floats();
    }
    for_samples(args, slice, pass, [&](std::int64_t i) {
      if (d_.cache > 0) {
        pass.stores = static_cast<float*>(args.state) + i * d_.kv_heads * store_floats();
        pass.saved = nullptr;
      }
      attention_kernels(bf16()).forward(pass);
    });
  }

  void backward_slice(const Args& args, Slice slice) const override {
    LOCKSTEP_CHECK(d_.cache == 0, "backward of inference");
    if (args.d_inputs[0] == nullptr) return;
    AttentionPass pass = pass_of(args);
    pass.drop = d_.dropout > 0;
    pass.d_output = args.d_output;
    pass.d_qkv = args.d_inputs[0];
    pass.scratch = static_cast<float*>(args.workspace);
    for_samples(args, slice, pass, [&](std::int64_t) { attention_kernels(bf16()).backward(pass); });
  }

  std::int64_t slices() const override { return d_.samples; }
  bool backward_needs_output() const override { return true; }
  std::size_t saved_bytes() const override {
    return d_.cache > 0 ? 0 : sizeof(float) * d_.samples * saved_floats();
  }
  std::size_t state_bytes() const override {
    return d_.cache > 0 ? sizeof(float) * d_.samples * d_.kv_heads * store_floats() : 0;
  }
  std::size_t workspace_bytes() const override {
    const std::int64_t block = kPanelKeys * padded_ + kQueryBlock * (2 * padded_ + kKeyBlock);
    if (d_.cache > 0) return sizeof(float) * block;
    const std::int64_t forward = block + store_floats();
    const std::int64_t backward =
        padded_ * 5 * (keys_ + kQueryBlock) + 3 * kQueryBlock * kPanelKeys;
    return sizeof(float) * (forward > backward ? forward : backward);
  }

  Cost cost() const override { return cost_of(d_); }

 private:
  std::int64_t channels() const { return (d_.heads + 2 * d_.kv_heads) * d_.width; }
  bool bf16() const { return d_.precision == Precision::kBf16; }
  // Of one key head.
  std::int64_t store_floats() const { return 2 * keys_ * padded_ / (bf16() ? 2 : 1); }
  std::int64_t saved_floats() const { return d_.heads * d_.tokens * kRowStatistics; }

  AttentionPass pass_of(const Args& args) const {
    AttentionPass pass{};
    pass.tokens = d_.tokens;
    pass.heads = d_.heads;
    pass.kv_heads = d_.kv_heads;
    pass.width = d_.width;
    pass.padded = padded_;
    pass.keys = keys_;
    pass.causal = d_.causal;
    pass.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(d_.width)));
    pass.rotation = d_.rotary > 0 ? rotation_.data() : nullptr;
    const auto counter = args.random.counter(0);
    for (int i = 0; i < 4; ++i) pass.counter[i] = counter[i];
    pass.key = args.random.seed;
    // rate < 1 as a float is at most 1 - 2^-24, so that this fits.
    pass.threshold = static_cast<std::uint32_t>(std::ceil(double{d_.dropout} * 0x1p32));
    pass.keep_scale = 1 / (1 - d_.dropout);
    pass.qkv = args.inputs[0];
    pass.output = args.output;
    return pass;
  }

  // Calls run(sample in the slice) with the pass at each sample.
  template <class Run>
  void for_samples(const Args& args, Slice slice, AttentionPass& pass, Run run) const {
    const std::int64_t count = d_.samples / slice.count, first = slice.index * count;
    const std::int64_t in = d_.tokens * channels(), out = d_.tokens * d_.heads * d_.width;
    for (std::int64_t i = 0; i < count; ++i) {
      pass.first_element = (first + i) * d_.heads * d_.tokens * d_.tokens;
      pass.saved = static_cast<float*>(args.saved) + (first + i) * saved_floats();
      pass.last = i + 1 == count;
      run(first + i);
      pass.qkv += in;
      pass.output += out;
      if (pass.d_qkv != nullptr) {
        pass.d_output += out;
        pass.d_qkv += in;
      }
    }
  }

  Attention d_;
  std::int64_t padded_ = 0, keys_ = 0;
  std::vector<float> rotation_;
};

}  // namespace

std::unique_ptr<Op> make_cpu(const Attention& d) { return std::make_unique<CpuAttention>(d); }

}  // namespace lockstep::ops
