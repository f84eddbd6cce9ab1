// What counts bytes: norms, elementwise ops, pools, embeddings, losses. They have one arithmetic.
#include "bench/rate_grid.h"
#include "lockstep/ops/loss.h"

namespace lockstep::bench {
namespace {

constexpr auto kFp32 = ops::Precision::kFp32;

double real(std::int64_t n) { return static_cast<double>(n); }

// Of one input and one output of n elements.
template <class Description>
void add_plain(std::vector<GridPoint>& points, std::string kernel, const Description& d,
               std::int64_t n, std::vector<double> size, int inputs = 1) {
  points.push_back({std::move(kernel), kFp32, std::move(size), [d, n, inputs](Device& device) {
                      return op_trial(
                          device, ops::make(device, d),
                          {.inputs = std::vector<std::int64_t>(static_cast<std::size_t>(inputs), n),
                           .output = n,
                           .parameters = {},
                           .statistics = {}},
                          false);
                    }});
}

void add_elementwise(std::vector<GridPoint>& points, std::int64_t n) {
  using ops::Activation;
  const std::vector<double> size{real(n)};
  for (const Activation a :
       {Activation::kRelu, Activation::kLeakyRelu, Activation::kGelu, Activation::kGeluTanh,
        Activation::kSilu, Activation::kTanh, Activation::kSigmoid})
    add_plain(points, std::string(ops::name_of(a)), ops::Activate{n, a}, n, size);
  add_plain(points, "add", ops::Add{n}, n, size, 2);
  add_plain(points, "dropout", ops::Dropout{n, 0.1f}, n, size);
  points.push_back({"swiglu", kFp32, size, [n](Device& device) {
                      return op_trial(
                          device, ops::make(device, ops::SwiGlu{1, n}),
                          {.inputs = {2 * n}, .output = n, .parameters = {}, .statistics = {}},
                          false);
                    }});
  points.push_back({"positions", kFp32, size, [n](Device& device) {
                      return op_trial(
                          device, ops::make(device, ops::Positions{1, 16, n / 16, 16}),
                          {.inputs = {n}, .output = n, .parameters = {n}, .statistics = {}}, false);
                    }});
}

template <class Description>
void add_norm(std::vector<GridPoint>& points, const char* kernel, const Description& d,
              int parameters, int statistics) {
  const std::int64_t n = d.rows * d.channels;
  points.push_back(
      {kernel, kFp32, {real(n), real(d.channels)}, [d, n, parameters, statistics](Device& device) {
         const auto times = [&](int count) {
           return std::vector<std::int64_t>(static_cast<std::size_t>(count), d.channels);
         };
         return op_trial(device, ops::make(device, d),
                         {.inputs = {n},
                          .output = n,
                          .parameters = times(parameters),
                          .statistics = times(statistics)},
                         false);
       }});
}

void add_pool(std::vector<GridPoint>& points, ops::PoolKind kind, std::int64_t dimensions,
              std::int64_t samples, std::int64_t side, std::int64_t channels, std::int64_t kernel) {
  const auto d = static_cast<std::size_t>(dimensions);
  std::vector<std::int64_t> shape(d + 2, side);
  shape.front() = samples, shape.back() = channels;
  ops::Pool p{kind, Shape(std::span<const std::int64_t>(shape)), {}, {}, {}};
  p.kernel.assign(d, kernel), p.stride.assign(d, kernel), p.padding.assign(d, 0);
  std::int64_t taps = 1;
  for (std::size_t i = 0; i < d; ++i) taps *= kernel;
  const std::int64_t n = p.input.elements();
  points.push_back({kind == ops::PoolKind::kMax ? "max_pool" : "average_pool",
                    kFp32,
                    {real(n), real(channels), real(taps)},
                    [p, n](Device& device) {
                      return op_trial(device, ops::make(device, p),
                                      {.inputs = {n},
                                       .output = output_shape(p).elements(),
                                       .parameters = {},
                                       .statistics = {}},
                                      false);
                    }});
}

void add_embedding(std::vector<GridPoint>& points, std::int64_t rows, std::int64_t vocabulary,
                   std::int64_t width) {
  const ops::Embedding d{rows, vocabulary, width};
  points.push_back(
      {"embedding", kFp32, {real(rows * width), real(vocabulary * width)}, [d](Device& device) {
         return op_trial(device, ops::make(device, d),
                         {.inputs = {d.rows},
                          .output = d.rows * d.width,
                          .parameters = {d.vocabulary * d.width},
                          .statistics = {},
                          .vocabulary = d.vocabulary},
                         false, false);
       }});
}

// One call gives the loss and its gradient; the usual metric is measured with it.
void add_loss(std::vector<GridPoint>& points, ops::LossKind kind, std::int64_t rows,
              std::int64_t width) {
  const bool classes = kind == ops::LossKind::kSoftmaxCrossEntropy;
  const char* const metric = classes ? "accuracy" : "mae";
  const ops::LossForm form{kind, rows, width,
                           kind == ops::LossKind::kBinaryCrossEntropy
                               ? std::vector<ops::Metric>()
                               : ops::make_metrics({metric})};
  points.push_back(
      {std::string(ops::name_of(kind)), kFp32, {real(rows), real(width)}, [form](Device& device) {
         struct Memory {
           std::shared_ptr<Stream> stream;
           std::unique_ptr<ops::Loss> loss;
           Buffer outputs, labels, targets, d_outputs, workspace, record;
         };
         const auto m = std::make_shared<Memory>();
         m->stream = device.make_stream();
         m->loss = ops::make(device, form);
         m->outputs = filled(device, form.samples * form.width, *m->stream);
         m->targets = filled(device, form.samples * form.width, *m->stream);
         m->d_outputs = filled(device, form.samples * form.width, *m->stream);
         m->labels = filled(device, form.samples, *m->stream, form.width);
         m->workspace = device.allocate(m->loss->workspace_bytes(), "a benchmark");
         m->record = device.allocate(sizeof(ops::LaneRecord), "a benchmark");
         const double bytes = 8 * real(form.samples * form.width);
         return Trial{.forward = bytes,
                      .backward = 0,
                      .sets = 1,
                      .between = 0,
                      .run_forward =
                          [m, form](int) {
                            ops::LossArgs a;
                            a.samples = a.valid = form.samples;
                            a.width = form.width;
                            a.outputs = m->outputs.as<float>();
                            a.labels = m->labels.as<std::int32_t>();
                            a.targets = m->targets.as<float>();
                            a.d_outputs = m->d_outputs.as<float>();
                            m->loss->run(a, m->record.as<ops::LaneRecord>(), m->workspace.data(),
                                         m->stream.get());
                          },
                      .run_backward = {},
                      .stream = m->stream};
       }});
}

}  // namespace

std::vector<GridPoint> pass_points() {
  std::vector<GridPoint> points;
  for (const std::int64_t n : {1 << 8, 1 << 12, 1 << 14, 1 << 17, 1 << 20, 1 << 22})
    add_elementwise(points, n);
  for (const std::int64_t n : {1 << 12, 1 << 14, 1 << 17, 1 << 20, 1 << 22}) {
    for (const std::int64_t channels : {64, 384, 1024}) {
      const std::int64_t rows = n / channels;
      if (rows == 0) continue;
      add_norm(points, "layer_norm", ops::LayerNorm{rows, channels}, 2, 0);
      add_norm(points, "rms_norm", ops::RmsNorm{rows, channels}, 1, 0);
    }
    for (const std::int64_t channels : {16, 64, 256}) {
      ops::BatchNorm d{n / channels, channels};
      d.activation = ops::Activation::kRelu;  // as it mostly is
      add_norm(points, "batch_norm", d, 2, 2);
    }
  }
  for (const std::int64_t channels : {6, 16, 64}) {
    for (const std::int64_t samples : {1, 16}) {
      add_pool(points, ops::PoolKind::kMax, 2, samples, 16, channels, 2);
      add_pool(points, ops::PoolKind::kAverage, 2, samples, 16, channels, 2);
      if (channels > 6) {
        add_pool(points, ops::PoolKind::kAverage, 2, samples, 8, channels, 8);
        add_pool(points, ops::PoolKind::kMax, 3, samples, 16, channels, 2);
      }
    }
  }
  for (const std::int64_t width : {64, 512}) {
    for (const std::int64_t rows : {64, 1024}) {
      for (const std::int64_t vocabulary : {256, 4096, 32768})
        add_embedding(points, rows, vocabulary, width);
    }
  }
  for (const std::int64_t rows : {8, 64, 512}) {
    for (const std::int64_t width : {2, 10, 1000})
      add_loss(points, ops::LossKind::kSoftmaxCrossEntropy, rows, width);
    for (const std::int64_t width : {1, 16, 1024}) {
      for (const auto kind :
           {ops::LossKind::kMse, ops::LossKind::kMae, ops::LossKind::kBinaryCrossEntropy})
        add_loss(points, kind, rows, width);
    }
  }
  return points;
}

}  // namespace lockstep::bench
