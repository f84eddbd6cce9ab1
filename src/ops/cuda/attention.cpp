// Attention by own kernels: heads are split and rotated (kernels/rotary.h), attended to by blocks
// (kernels/attention.h), and gradients merged. Saved for backward: one number a row and head; heads
// are split again there, which moves less than it would keep. In bf16 what is split is bf16, and so
// are the keys and values of a cache. Rows of a cached and of a whole sequence have the same bits.
#include "kernels/attention.h"

#include <cmath>
#include <type_traits>

#include "device/cuda/cuda_device.h"
#include "kernels/launch.h"
#include "kernels/rotary.h"
#include "lockstep/core/error.h"
#include "ops/attention_rules.h"
#include "ops/cuda/make.h"
#include "ops/cuda/parts.h"

namespace lockstep::ops {
namespace {

// T: of what is multiplied.
template <class T>
class CudaAttention final : public Op {
 public:
  CudaAttention(Device& device, const Attention& d) : d_(d) {
    check(d);
    if (std::is_same_v<T, __nv_bfloat16>) kernels::require_capability(80, "attention bf16");
    const std::int64_t rows = d.samples * d.tokens, step = kernels::head_step<T>(d.width);
    const std::size_t queries = rows * d.heads * step, keys = rows * d.kv_heads * step;
    q_ = workspace_.add(queries * sizeof(T));
    if (d.cache > 0) {
      const std::size_t kept = d.samples * d.kv_heads * d.cache * step * sizeof(T);
      cached_k_ = state_.add(kept);
      cached_v_ = state_.add(kept);
    } else {
      k_ = workspace_.add(keys * sizeof(T));
      v_ = workspace_.add(keys * sizeof(T));
      d_heads_ = workspace_.add(queries * sizeof(T));
      dots_ = workspace_.add(rows * d.heads * sizeof(float));
      d_q_ = workspace_.add(queries * sizeof(float));
      d_k_ = workspace_.add(keys * sizeof(float));
      d_v_ = workspace_.add(keys * sizeof(float));
      log_sums_ = saved_.add(rows * d.heads * sizeof(float));
    }
    const std::vector<float> rotation = rotation_table(d);
    if (rotation.empty()) return;
    const std::size_t bytes = rotation.size() * sizeof(float);
    rotation_ = device.allocate(bytes, "rotary positions");
    const std::unique_ptr<Stream> stream = device.make_stream();
    device.copy(rotation_.data(), rotation.data(), bytes, *stream);
    stream->synchronize();
  }

  std::string_view kind() const override { return "attention"; }

  void forward(const Args& args) const override {
    const cudaStream_t stream = cuda::native(args.stream);
    kernels::HeadsShape heads = heads_shape();
    kernels::AttentionShape s = shape(args, args.mode == Mode::kTrain);
    T *k = Parts::at<T>(args.workspace, k_), *v = Parts::at<T>(args.workspace, v_);
    if (d_.cache > 0) {
      check_cached(d_, args);
      heads.position = s.position = args.position;
      heads.capacity = s.capacity = d_.cache;
      k = Parts::at<T>(args.state, cached_k_);
      v = Parts::at<T>(args.state, cached_v_);
    }
    T* q = Parts::at<T>(args.workspace, q_);
    kernels::split_heads(heads, args.inputs[0], q, k, v, stream);
    kernels::attention_forward(s, q, k, v, args.output, Parts::at<float>(args.saved, log_sums_),
                               stream);
  }

  void backward(const Args& args) const override {
    LOCKSTEP_CHECK(d_.cache == 0, "backward of inference");
    if (args.d_inputs[0] == nullptr) return;
    const cudaStream_t stream = cuda::native(args.stream);
    const auto part = [&](Parts::Part p) { return Parts::at<T>(args.workspace, p); };
    const auto numbers = [&](Parts::Part p) { return Parts::at<float>(args.workspace, p); };
    const kernels::HeadsShape heads = heads_shape();
    const kernels::AttentionShape s = shape(args, true);
    const kernels::AttentionGradients to{numbers(d_q_), numbers(d_k_), numbers(d_v_)};
    kernels::split_heads(heads, args.inputs[0], part(q_), part(k_), part(v_), stream);
    kernels::attention_dots(s, args.output, args.d_output, numbers(dots_), part(d_heads_), stream);
    kernels::attention_backward(s, part(q_), part(k_), part(v_), part(d_heads_),
                                Parts::at<float>(args.saved, log_sums_), numbers(dots_), to,
                                stream);
    kernels::merge_head_gradients(heads, kernels::head_step<T>(d_.width), to.d_q, to.d_k, to.d_v,
                                  args.d_inputs[0], stream);
  }

  bool backward_needs_output() const override { return true; }
  std::size_t saved_bytes() const override { return saved_.bytes(); }
  std::size_t state_bytes() const override { return state_.bytes(); }
  std::size_t workspace_bytes() const override { return workspace_.bytes(); }
  Cost cost() const override { return cost_of(d_); }

 private:
  kernels::HeadsShape heads_shape() const {
    return {.samples = d_.samples,
            .tokens = d_.tokens,
            .heads = d_.heads,
            .kv_heads = d_.kv_heads,
            .width = d_.width,
            .rotation = rotation_.as<float>()};
  }
  kernels::AttentionShape shape(const Args& args, bool train) const {
    kernels::AttentionShape s{.samples = d_.samples,
                              .tokens = d_.tokens,
                              .heads = d_.heads,
                              .kv_heads = d_.kv_heads,
                              .width = d_.width,
                              .causal = d_.causal};
    if (train && d_.dropout > 0) {
      s.random = args.device_random;
      s.op = args.random.op;
      // rate < 1 as a float is at most 1 - 2^-24, so that this fits.
      s.threshold = static_cast<std::uint32_t>(std::ceil(double{d_.dropout} * 0x1p32));
      s.keep_scale = 1 / (1 - d_.dropout);
    }
    return s;
  }

  Attention d_;
  Parts workspace_, saved_, state_;
  Parts::Part q_, k_, v_, d_heads_, dots_, d_q_, d_k_, d_v_, log_sums_, cached_k_, cached_v_;
  Buffer rotation_;
};

}  // namespace

// Heads too wide for the bf16 kernels are attended to in fp32.
std::unique_ptr<Op> make_cuda(Device& device, const Attention& d) {
  if (d.precision == Precision::kBf16 && d.width <= kernels::kMostBf16Width)
    return std::make_unique<CudaAttention<__nv_bfloat16>>(device, d);
  return std::make_unique<CudaAttention<float>>(device, d);
}

}  // namespace lockstep::ops
