#include "bench/trial.h"

#include <algorithm>
#include <bit>
#include <cstdint>

namespace lockstep::bench {
namespace {

constexpr std::size_t kModelBytes = 48 << 20;  // more than the caches of a core
constexpr std::size_t kMostSets = 6;

std::size_t bytes_of(const std::vector<std::int64_t>& elements) {
  std::size_t sum = 0;
  for (const std::int64_t n : elements) sum += static_cast<std::size_t>(n) * sizeof(float);
  return sum;
}

// Buffers and the addresses that an op takes.
struct Tensors {
  std::vector<Buffer> buffers;
  mutable std::vector<float*> at;
  void add(Buffer buffer) {
    at.push_back(buffer.as<float>());
    buffers.push_back(std::move(buffer));
  }
  const float* const* read() const { return at.data(); }
};

class OpSets {
 public:
  OpSets(Device& device, std::unique_ptr<ops::Op> op, const OpShape& shape, bool need_d_input)
      : device_(device), op_(std::move(op)), stream_(device.make_stream()) {
    const std::size_t output = static_cast<std::size_t>(shape.output) * sizeof(float);
    const std::size_t set = 2 * (bytes_of(shape.inputs) + output + bytes_of(shape.parameters)) +
                            op_->packed_bytes() + op_->saved_bytes();
    const std::size_t count = std::clamp<std::size_t>(kModelBytes / (set + 1), 1, kMostSets);
    workspace_ = memory(op_->workspace_bytes());
    common_args();
    for (std::size_t i = 0; i < count; ++i) add_set(shape, need_d_input);
    stream_->synchronize();
  }

  const ops::Op& op() const { return *op_; }
  std::shared_ptr<Stream> stream() const { return stream_; }
  int sets() const { return static_cast<int>(sets_.size()); }
  void forward(int set) const { op_->forward(args(set)); }
  void backward(int set) const { op_->backward(args(set)); }
  void pack(int set) const {
    const Set& s = sets_[static_cast<std::size_t>(set)];
    op_->pack(s.parameters.read(), s.packed.data(), stream_.get());
  }

 private:
  struct Set {
    Tensors inputs, d_inputs, parameters, d_parameters, statistics;
    Buffer output, d_output, saved, packed;
  };

  Buffer memory(std::size_t bytes) { return device_.allocate(bytes, "a benchmark"); }

  void add_set(const OpShape& shape, bool need_d_input) {
    Set set;
    for (const std::int64_t n : shape.inputs) {
      set.inputs.add(filled(device_, n, *stream_, shape.vocabulary));
      if (need_d_input) {
        set.d_inputs.add(filled(device_, n, *stream_));
      } else {
        set.d_inputs.at.push_back(nullptr);
      }
    }
    for (const std::int64_t n : shape.parameters) {
      set.parameters.add(filled(device_, n, *stream_));
      set.d_parameters.add(filled(device_, n, *stream_));
    }
    for (const std::int64_t n : shape.statistics) set.statistics.add(filled(device_, n, *stream_));
    set.output = filled(device_, shape.output, *stream_);
    set.d_output = filled(device_, shape.output, *stream_);
    set.saved = memory(op_->saved_bytes());
    set.packed = memory(op_->packed_bytes());
    sets_.push_back(std::move(set));
    pack(static_cast<int>(sets_.size()) - 1);
  }

  void common_args() {
    args_.workspace = workspace_.data();
    args_.random = RandomKey{.seed = 1, .step = 2, .lane_micro = 3, .op = 4};
    args_.stream = stream_.get();
    if (device_.is_host()) return;
    RandomKey key = args_.random;
    key.op = 0;
    random_ = memory(sizeof key);
    device_.copy(random_.data(), &key, sizeof key, *stream_);
    args_.device_random = random_.as<const RandomKey>();
  }

  ops::Args args(int index) const {
    const Set& set = sets_[static_cast<std::size_t>(index)];
    ops::Args args = args_;
    args.inputs = set.inputs.read();
    args.d_inputs = set.d_inputs.at.data();
    args.output = set.output.as<float>();
    args.d_output = set.d_output.as<float>();
    args.parameters = set.parameters.read();
    args.d_parameters = set.d_parameters.at.data();
    args.lane_statistics = set.statistics.at.empty() ? nullptr : set.statistics.at.data();
    args.saved = set.saved.data();
    args.packed = set.packed.data();
    return args;
  }

  Device& device_;
  const std::unique_ptr<ops::Op> op_;
  const std::shared_ptr<Stream> stream_;
  Buffer workspace_, random_;
  std::vector<Set> sets_;
  ops::Args args_;
};

}  // namespace

Buffer filled(Device& device, std::int64_t elements, Stream& stream, std::int64_t vocabulary) {
  std::vector<float> host(static_cast<std::size_t>(elements));
  for (std::size_t i = 0; i < host.size(); ++i) {
    const auto at = static_cast<std::int64_t>(i);
    host[i] = vocabulary > 0
                  ? std::bit_cast<float>(static_cast<std::int32_t>(at * 7919 % vocabulary))
                  : static_cast<float>(at * 7 % 1001) * 1e-3f - 0.5f;
  }
  Buffer buffer = device.allocate(host.size() * sizeof(float), "a benchmark");
  device.copy(buffer.data(), host.data(), buffer.bytes(), stream);
  stream.synchronize();
  return buffer;
}

Trial op_trial(Device& device, std::unique_ptr<ops::Op> op, const OpShape& shape, bool in_flops,
               bool need_d_input) {
  const auto sets = std::make_shared<OpSets>(device, std::move(op), shape, need_d_input);
  const ops::Cost cost = sets->op().cost();
  return {.forward = in_flops ? cost.forward_flops : cost.forward_bytes,
          .backward = in_flops ? cost.backward_flops : cost.backward_bytes,
          .sets = sets->sets(),
          .between = 0,
          .run_forward = [sets](int set) { sets->forward(set); },
          .run_backward = [sets](int set) { sets->backward(set); },
          .stream = sets->stream()};
}

Trial pack_trial(Device& device, std::unique_ptr<ops::Op> op, const OpShape& shape,
                 std::size_t between) {
  const auto sets = std::make_shared<OpSets>(device, std::move(op), shape, false);
  return {.forward = static_cast<double>(sets->op().packed_bytes()),
          .backward = 0,
          .sets = sets->sets(),
          .between = between,
          .run_forward = [sets](int set) { sets->pack(set); },
          .run_backward = {},
          .stream = sets->stream()};
}

}  // namespace lockstep::bench
