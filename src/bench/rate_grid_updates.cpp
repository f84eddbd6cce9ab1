// What follows the sum of a step: the update of all parameters, and weights packed anew.
#include <algorithm>

#include "bench/rate_grid.h"
#include "lockstep/optim/optimizer.h"
#include "lockstep/plan/cost.h"

namespace lockstep::bench {
namespace {

double real(std::int64_t n) { return static_cast<double>(n); }

// A model of tensors of one size, with its optimizer.
struct Model {
  Model(Device& device, const optim::Options& options, std::int64_t elements, Stream& stream) {
    constexpr std::int64_t kTensor = 1 << 16;
    for (std::int64_t at = 0; at < elements; at += kTensor)
      table.add("p" + std::to_string(at), Shape{std::min(kTensor, elements - at)},
                ParameterKind::kWeight, Init::kZeros);
    parameters = filled(device, table.flat_elements(), stream);
    gradient = filled(device, table.flat_elements(), stream);
    optimizer = std::make_unique<optim::Optimizer>(table, options, device);
  }
  void update(Stream& stream) {
    const auto gradient_of = [this](int block) {
      return gradient.as<const float>() + table.blocks()[static_cast<std::size_t>(block)].begin;
    };
    optimizer->step(parameters.as<float>(), step++, 1e-6, 1, gradient_of, {}, &stream);
  }

  ParameterTable table;
  Buffer parameters, gradient;
  std::unique_ptr<optim::Optimizer> optimizer;
  std::int64_t step = 0;
};

// Of a small step, of one that fits the caches, of one that does not.
constexpr std::int64_t kBetween[] = {1 << 20, 8 << 20, 64 << 20};

void add_update(std::vector<GridPoint>& points, optim::Kind kind, double momentum,
                std::int64_t elements, std::int64_t between) {
  optim::Options options;
  options.kind = kind;
  options.momentum = momentum;
  points.push_back({std::string(optim::name_of(kind)),
                    ops::Precision::kFp32,
                    {real(elements), real(between)},
                    [options, elements, between](Device& device) {
                      const std::shared_ptr<Stream> stream = device.make_stream();
                      const auto model =
                          std::make_shared<Model>(device, options, elements, *stream);
                      return Trial{.forward = plan::update_bytes(options) * real(elements),
                                   .backward = 0,
                                   .sets = 1,
                                   .between = static_cast<std::size_t>(between),
                                   .run_forward = [model, stream](int) { model->update(*stream); },
                                   .run_backward = {},
                                   .stream = stream};
                    }});
}

// The size is in packed bytes, which the op alone knows.
void add_packs(std::vector<GridPoint>& points, std::int64_t width, std::int64_t between,
               ops::Precision precision) {
  const auto append = [&](const char* kernel, const auto& description, std::int64_t weights,
                          std::int64_t outputs) {
    const auto packed = ops::make(cpu_device(), description)->packed_bytes();
    points.push_back(
        {kernel, precision, {static_cast<double>(packed), real(between)}, [=](Device& device) {
           return pack_trial(
               device, ops::make(device, description),
               {.inputs = {}, .output = 0, .parameters = {weights, outputs}, .statistics = {}},
               static_cast<std::size_t>(between));
         }});
  };
  ops::Linear linear{64, width, width};
  linear.precision = precision;
  append("linear_pack", linear, width * width, width);
  constexpr std::int64_t kTaps = 9;
  const std::int64_t channels = width / 4;
  ops::Convolution c;
  c.input = Shape{4, 8, 8, channels};
  c.out_channels = channels;
  c.kernel = {3, 3}, c.stride = {1, 1}, c.padding = {1, 1}, c.dilation = {1, 1};
  c.precision = precision;
  append("convolution_pack", c, channels * channels * kTaps, channels);
}

}  // namespace

std::vector<GridPoint> pack_points(ops::Precision precision) {
  std::vector<GridPoint> points;
  for (const std::int64_t width : {64, 128, 256, 1024}) {
    for (const std::int64_t between : kBetween) add_packs(points, width, between, precision);
  }
  return points;
}

std::vector<GridPoint> update_points() {
  std::vector<GridPoint> points;
  for (const std::int64_t elements : {1 << 14, 1 << 17, 1 << 20, 1 << 22}) {
    for (const std::int64_t between : kBetween) {
      add_update(points, optim::Kind::kSgd, 0.9, elements, between);
      for (const optim::Kind kind : {optim::Kind::kAdam, optim::Kind::kAdamW, optim::Kind::kLamb})
        add_update(points, kind, 0, elements, between);
    }
  }
  return points;
}

}  // namespace lockstep::bench
