// Linear layers, the loss head, attention: what counts flops and is no convolution.
#include "bench/rate_grid.h"
#include "lockstep/ops/loss_head.h"

namespace lockstep::bench {
namespace {

// A call must not take long, and larger ones run no differently.
constexpr double kMostFlops = 1.2e9;
constexpr std::int64_t kMostWeights = 1 << 22;

double real(std::int64_t n) { return static_cast<double>(n); }

void add_linear(std::vector<GridPoint>& points, const ops::Linear& d) {
  if (d.in * d.out > kMostWeights || 2 * real(d.rows) * real(d.in * d.out) > kMostFlops) return;
  points.push_back({d.need_d_input ? "linear" : "linear_input",
                    d.precision,
                    {real(d.rows), real(d.in), real(d.out)},
                    [d](Device& device) {
                      return op_trial(device, ops::make(device, d),
                                      {.inputs = {d.rows * d.in},
                                       .output = d.rows * d.out,
                                       .parameters = {d.in * d.out, d.out},
                                       .statistics = {}},
                                      true, d.need_d_input);
                    }});
}

// Loss and all gradients in one call: its flops are those of both directions.
Trial head_trial(Device& device, const ops::LinearCrossEntropy& d) {
  struct Head {
    std::shared_ptr<Stream> stream;
    std::unique_ptr<ops::LossHead> head;
    Buffer x, d_x, labels, weight, d_weight, packed, workspace, record;
    const float* parameters[1];
    float* d_parameters[1];
  };
  const auto h = std::make_shared<Head>();
  h->stream = device.make_stream();
  h->head = ops::make_loss_head(device, d);
  h->x = filled(device, d.rows * d.in, *h->stream);
  h->d_x = filled(device, d.rows * d.in, *h->stream);
  h->labels = filled(device, d.rows, *h->stream, d.classes);
  h->weight = filled(device, d.in * d.classes, *h->stream);
  h->d_weight = filled(device, d.in * d.classes, *h->stream);
  h->packed = device.allocate(h->head->packed_bytes(), "a benchmark");
  h->workspace = device.allocate(h->head->workspace_bytes(), "a benchmark");
  h->record = device.allocate(sizeof(ops::LaneRecord), "a benchmark");
  h->parameters[0] = h->weight.as<float>();
  h->d_parameters[0] = h->d_weight.as<float>();
  h->head->pack(h->parameters, h->packed.data(), h->stream.get());
  const auto run = [h, d](int) {
    ops::HeadArgs args;
    args.x = h->x.as<float>();
    args.labels = h->labels.as<std::int32_t>();
    args.valid = d.rows;
    args.parameters = h->parameters;
    args.packed = h->packed.data();
    args.d_x = h->d_x.as<float>();
    args.d_parameters = h->d_parameters;
    args.workspace = h->workspace.data();
    args.stream = h->stream.get();
    h->head->run(args, {}, h->record.as<ops::LaneRecord>());
  };
  const ops::Cost cost = h->head->cost();
  return {.forward = cost.forward_flops + cost.backward_flops,
          .backward = 0,
          .sets = 1,
          .between = 0,
          .run_forward = run,
          .run_backward = {},
          .stream = h->stream};
}

void add_head(std::vector<GridPoint>& points, const ops::LinearCrossEntropy& d) {
  if (6 * real(d.rows) * real(d.in * d.classes) > 4 * kMostFlops) return;
  points.push_back({"linear_cross_entropy",
                    d.precision,
                    {real(d.rows), real(d.in), real(d.classes)},
                    [d](Device& device) { return head_trial(device, d); }});
}

void add_attention(std::vector<GridPoint>& points, std::int64_t tokens, std::int64_t width,
                   ops::Precision precision) {
  constexpr std::int64_t kHeads = 4;
  ops::Attention d{1, tokens, kHeads, kHeads, width};
  d.precision = precision;
  points.push_back({"attention", precision, {real(tokens), real(width)}, [d](Device& device) {
                      return op_trial(device, ops::make(device, d),
                                      {.inputs = {d.tokens * 3 * d.heads * d.width},
                                       .output = d.tokens * d.heads * d.width,
                                       .parameters = {},
                                       .statistics = {}},
                                      true);
                    }});
}

}  // namespace

std::vector<GridPoint> product_points(ops::Precision precision) {
  std::vector<GridPoint> points;
  for (const std::int64_t rows : {1, 8, 32, 128, 512}) {
    for (const std::int64_t in : {16, 128, 512, 2048}) {
      for (const std::int64_t out : {16, 128, 512, 2048}) {
        ops::Linear d{rows, in, out};
        d.precision = precision;
        add_linear(points, d);
      }
    }
  }
  for (const std::int64_t rows : {1, 16, 128}) {
    for (const std::int64_t in : {16, 256, 1024, 4096}) {
      for (const std::int64_t out : {16, 128, 1024}) {
        ops::Linear d{rows, in, out};
        d.need_d_input = false;
        d.precision = precision;
        add_linear(points, d);
      }
    }
  }
  for (const std::int64_t rows : {64, 256, 1024}) {
    for (const std::int64_t in : {64, 256, 768}) {
      for (const std::int64_t classes : {128, 1024, 8192})
        add_head(points, {rows, in, classes, false, precision});
    }
  }
  for (const std::int64_t tokens : {16, 64, 256, 1024}) {
    for (const std::int64_t width : {16, 64, 128}) add_attention(points, tokens, width, precision);
  }
  return points;
}

}  // namespace lockstep::bench
