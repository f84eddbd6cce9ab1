// Runs an op on any device as a program would, with traps: outputs start as NaN and end in a guard,
// workspace, saved and packed memory start as NaN, what backward does not need is null. Two devices
// given the same numbers must agree.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lockstep/device/cuda.h"
#include "lockstep/ops/op.h"
#include "support/tiny.h"

namespace lockstep::ops {

using Floats = std::vector<float>;

inline Device& cuda_device() {
  static const std::unique_ptr<Device> device =
      make_cuda_device({.device = "cuda:0", .who = "the test"});
  return *device;
}

// Token numbers in the place of floats.
inline Floats tokens(const std::vector<std::int32_t>& ids) {
  Floats bits(ids.size());
  std::memcpy(bits.data(), ids.data(), ids.size() * sizeof(float));
  return bits;
}

// Floats of a device between guards; NaN (all bits set) until written.
class DeviceFloats {
 public:
  DeviceFloats(Device& device, Stream& stream, std::size_t n)
      : device_(device),
        stream_(stream),
        memory_(device.allocate((n + 2 * kGuard) * sizeof(float), "a test")),
        size_(n) {
    device.fill(memory_.data(), 0xFF, memory_.bytes(), stream);
  }
  DeviceFloats(Device& device, Stream& stream, const Floats& values)
      : DeviceFloats(device, stream, values.size()) {
    set(values);
  }
  void set(const Floats& values) {
    ASSERT_EQ(values.size(), size_);
    device_.copy(data(), values.data(), size_ * sizeof(float), stream_);
    stream_.synchronize();
  }
  float* data() const { return static_cast<float*>(memory_.data()) + kGuard; }
  // Fails if anything was written outside.
  Floats host() const {
    Floats all(size_ + 2 * kGuard);
    device_.copy(all.data(), memory_.data(), memory_.bytes(), stream_);
    stream_.synchronize();
    for (std::size_t i = 0; i < kGuard; ++i) {
      EXPECT_TRUE(untouched(all[i])) << kGuard - i << " floats before the tensor";
      EXPECT_TRUE(untouched(all[kGuard + size_ + i])) << i << " floats behind the tensor";
    }
    const auto begin = all.begin() + kGuard;
    return {begin, begin + static_cast<std::ptrdiff_t>(size_)};
  }

 private:
  static constexpr std::size_t kGuard = 64;  // keeps the alignment of 256 bytes

  static bool untouched(float x) {
    std::uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits == 0xFFFFFFFF;
  }

  Device& device_;
  Stream& stream_;
  Buffer memory_;
  std::size_t size_;
};

// One call of forward and, in training with a d_output, one of backward.
struct OpCase {
  std::vector<Floats> inputs, parameters;
  std::size_t outputs = 0;
  Floats d_output;                  // empty: forward alone
  std::vector<bool> wanted;         // false: nobody needs that d_input; empty: all are needed
  std::optional<Floats> d_input_0;  // given: backward adds to it, where the op accumulates()
  bool in_place = false;            // as far as the op allows it
  bool captured = false;            // by a graph that runs twice, where the device captures()
  RandomKey random;
  Mode mode = Mode::kTrain;
  Floats running_mean, running_variance;  // batch norm
  Floats carried;                         // embedding
  std::int64_t position = 0;
};

struct OpResult {
  Floats output;
  std::vector<Floats> d_inputs, d_parameters, lane_statistics;  // empty where not wanted
};

class OpOnDevice {
 public:
  OpOnDevice(Device& device, const Op& op, const OpCase& c)
      : device_(device), op_(op), case_(c), stream_(device.make_stream()) {
    inputs_ = all(c.inputs), parameters_ = all(c.parameters);
    output_ = empty(c.outputs);
    if (c.in_place && op.in_place()) output_ = inputs_[0];
    if (!c.running_mean.empty()) {
      statistics_ = all({c.running_mean, c.running_variance});
      lane_statistics_ = {empty(c.running_mean.size()), empty(c.running_mean.size())};
    }
    if (!c.carried.empty()) carried_ = filled(c.carried);
    saved_ = empty(op.saved_bytes() / 4 + 1);
    workspace_ = empty(op.workspace_bytes() / 4 + 1);
    packed_ = empty(op.packed_bytes() / 4 + 1);
    parameter_pointers_ = constant(parameters_);
    if (op.packed_bytes() > 0) {
      op.pack(parameter_pointers_.data(), packed_->data(), stream_.get());
    }
    if (!device.is_host()) {
      random_ = device.allocate(sizeof(RandomKey), "a test");
      RandomKey key = c.random;
      key.op = 0xFFFF;  // not to be read
      device.copy(random_.data(), &key, sizeof key, *stream_);
      stream_->synchronize();
    }
  }

  OpResult run() {
    OpResult result;
    run([&] { op_.forward(forward_args()); });
    result.output = output_->host();
    for (const auto& s : lane_statistics_) result.lane_statistics.push_back(s->host());
    if (!case_.d_output.empty()) backward(result);
    return result;
  }

 private:
  using Tensor = std::shared_ptr<DeviceFloats>;

  Tensor empty(std::size_t n) const { return std::make_shared<DeviceFloats>(device_, *stream_, n); }
  Tensor filled(const Floats& x) const {
    return std::make_shared<DeviceFloats>(device_, *stream_, x);
  }
  std::vector<Tensor> all(const std::vector<Floats>& values) const {
    std::vector<Tensor> tensors;
    for (const Floats& x : values) tensors.push_back(filled(x));
    return tensors;
  }
  static std::vector<const float*> constant(const std::vector<Tensor>& tensors) {
    std::vector<const float*> pointers;
    for (const Tensor& t : tensors) pointers.push_back(t->data());
    return pointers;
  }
  static std::vector<float*> writable(const std::vector<Tensor>& tensors) {
    std::vector<float*> pointers;
    for (const Tensor& t : tensors) pointers.push_back(t ? t->data() : nullptr);
    return pointers;
  }

  // A captured call that changes its own inputs runs once.
  template <class Call>
  void run(Call call) {
    if (case_.captured && device_.captures()) {
      stream_->begin_capture();
      call();
      const std::unique_ptr<Graph> graph = stream_->end_capture();
      stream_->launch(*graph);
      if (!case_.in_place && !case_.d_input_0) stream_->launch(*graph);
      stream_->synchronize();
    } else {
      call();
      stream_->synchronize();
    }
  }

  Args common() {
    Args args;
    args.parameters = parameter_pointers_.data();
    args.saved = saved_->data(), args.workspace = workspace_->data();
    args.packed = packed_->data();
    args.random = case_.random;
    args.device_random = static_cast<const RandomKey*>(random_.data());
    args.mode = case_.mode;
    args.position = case_.position;
    args.stream = stream_.get();
    return args;
  }

  Args forward_args() {
    input_pointers_ = constant(inputs_), statistic_pointers_ = constant(statistics_);
    lane_pointers_ = writable(lane_statistics_);
    Args args = common();
    args.inputs = input_pointers_.data(), args.output = output_->data();
    args.statistics = statistic_pointers_.data();
    args.lane_statistics = lane_pointers_.empty() ? nullptr : lane_pointers_.data();
    return args;
  }

  void backward(OpResult& result) {
    const Tensor d_output = filled(case_.d_output);
    workspace_ = empty(op_.workspace_bytes() / 4 + 1);
    std::vector<Tensor> d_inputs, d_parameters;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const bool wanted = case_.wanted.empty() || case_.wanted[i];
      const bool shared = case_.in_place && op_.in_place_gradient() == static_cast<int>(i);
      d_inputs.push_back(!wanted ? nullptr : shared ? d_output : empty(case_.inputs[i].size()));
    }
    const bool adds = case_.d_input_0 && op_.accumulates();
    if (adds) d_inputs[0] = filled(*case_.d_input_0);
    for (const Floats& p : case_.parameters) d_parameters.push_back(empty(p.size()));
    const std::vector<float*> to_inputs = writable(d_inputs),
                              to_parameters = writable(d_parameters);

    Args args = common();
    const std::vector<const float*> unread(inputs_.size(), nullptr);
    args.inputs = op_.backward_needs_inputs() ? input_pointers_.data() : unread.data();
    args.output = op_.backward_needs_output() ? output_->data() : nullptr;
    args.d_output = d_output->data(), args.d_inputs = to_inputs.data();
    args.d_parameters = to_parameters.data();
    args.accumulate = adds;
    args.carried = carried_ ? carried_->data() : nullptr;
    run([&] { op_.backward(args); });
    for (const Tensor& d : d_inputs) result.d_inputs.push_back(d ? d->host() : Floats());
    for (const Tensor& d : d_parameters) result.d_parameters.push_back(d->host());
  }

  Device& device_;
  const Op& op_;
  const OpCase& case_;
  std::unique_ptr<Stream> stream_;
  std::vector<Tensor> inputs_, parameters_, statistics_, lane_statistics_;
  Tensor output_, carried_, saved_, workspace_, packed_;
  Buffer random_;
  std::vector<const float*> input_pointers_, parameter_pointers_, statistic_pointers_;
  std::vector<float*> lane_pointers_;
};

template <class Description>
OpResult run_on(Device& device, const Description& d, const OpCase& c) {
  const std::unique_ptr<Op> op = make(device, d);
  return OpOnDevice(device, *op, c).run();
}

// |got - expected| <= tolerance * max(1, largest |expected|); NaN agrees with NaN, infinity with
// itself.
inline void expect_agree(const Floats& got, const Floats& expected, double tolerance,
                         const std::string& what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  double largest = 1;
  for (float e : expected)
    if (std::isfinite(e)) largest = std::fmax(largest, std::fabs(e));
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(expected[i]) && std::isnan(got[i])) continue;
    if (expected[i] == got[i]) continue;
    const double error = std::fabs(double{got[i]} - expected[i]);
    ASSERT_TRUE(error <= tolerance * largest)
        << what << "[" << i << "] is " << got[i] << ", not " << expected[i] << " (error "
        << error / largest << " of " << largest << ")";
  }
}

inline void expect_agree(const OpResult& got, const OpResult& expected, double tolerance,
                         const std::string& what) {
  expect_agree(got.output, expected.output, tolerance, what + ": output");
  const auto each = [&](const std::vector<Floats>& a, const std::vector<Floats>& b,
                        const char* name) {
    ASSERT_EQ(a.size(), b.size()) << what << ": " << name;
    for (std::size_t i = 0; i < a.size(); ++i)
      expect_agree(a[i], b[i], tolerance, what + ": " + name + " " + std::to_string(i));
  };
  each(got.d_inputs, expected.d_inputs, "d_input");
  each(got.d_parameters, expected.d_parameters, "d_parameter");
  each(got.lane_statistics, expected.lane_statistics, "lane statistic");
}

// The cuda device against the cpu device.
template <class Description>
void expect_cuda_as_cpu(const Description& d, const OpCase& c, double tolerance,
                        const std::string& what) {
  expect_agree(run_on(cuda_device(), d, c), run_on(cpu_device(), d, c), tolerance, what);
}

}  // namespace lockstep::ops
