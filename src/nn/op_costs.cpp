// What a program's ops cost, as they were compiled.
#include <algorithm>
#include <tuple>

#include "nn/program_impl.h"

namespace lockstep::nn {
namespace {

double real(std::int64_t n) { return static_cast<double>(n); }

// What a fused op works on at a time: a tile of the product that it was fused into.
constexpr std::int64_t kTileElements = 1 << 14;

// The rows of one op: its own, then those of what was fused into it.
class RowMaker {
 public:
  explicit RowMaker(std::int64_t slices) : slices_(slices) {}

  std::vector<OpCost> rows(const OpDescription& description, OpCost own) {
    rows_.push_back(std::move(own));
    std::visit([this](const auto& d) { describe(d); }, description);
    return std::move(rows_);
  }

 private:
  OpCost& own() { return rows_.front(); }
  double in_slice(std::int64_t elements) const { return real(elements) / real(slices_); }

  // bytes: moved for each element.
  void fuse(std::string_view kind, double elements, double forward, double backward) {
    OpCost row;
    row.layer = own().layer;
    row.kind = kind;
    row.size = {std::min(elements, real(kTileElements))};
    row.cost.forward_bytes = forward * elements;
    row.cost.backward_bytes = backward * elements;
    row.fused = true;
    row.again = own().again;
    rows_.push_back(std::move(row));
  }
  // What relu and a sum do in forward is done in registers.
  void fuse_activation(ops::Activation activation, double elements) {
    if (activation == ops::Activation::kNone) return;
    const bool plain = activation == ops::Activation::kRelu;
    fuse(ops::name_of(activation), elements, plain ? 0 : 8, 12);
  }

  void describe(const ops::Linear& d) {
    own().size = {real(d.rows), real(d.in), real(d.out)};
    if (!d.need_d_input) own().kind = "linear_input";
    const double n = real(d.rows * d.out);
    fuse_activation(d.activation, n);
    if (d.dropout > 0) fuse("dropout", n, 8, 8);
    if (d.residual) fuse("add", n, 4, 0);
  }
  void describe(const ops::Convolution& c) {
    const Shape out = output_shape(c);
    std::int64_t taps = 1;
    for (const std::int64_t k : c.kernel) taps *= k;
    own().size = {real(out.elements() / c.out_channels), real(out[out.rank() - 2]),
                  real(c.input[-1] / c.groups), real(c.out_channels), real(taps)};
    if (!c.need_d_input) own().kind = "convolution_input";
    fuse_activation(c.activation, real(out.elements()));
  }
  void describe(const ops::Pool& p) {
    std::int64_t taps = 1;
    for (const std::int64_t k : p.kernel) taps *= k;
    own().size = {in_slice(p.input.elements()), real(p.input[-1]), real(taps)};
  }
  // Its sums need all of the tensor before it is read again.
  void describe(const ops::BatchNorm& d) {
    own().size = {real(d.rows * d.channels), real(d.channels)};
  }
  void describe(const ops::LayerNorm& d) { norm(d.rows, d.channels); }
  void describe(const ops::RmsNorm& d) { norm(d.rows, d.channels); }
  void norm(std::int64_t rows, std::int64_t channels) {
    own().size = {in_slice(rows * channels), real(channels)};
  }
  void describe(const ops::Activate& d) {
    own().kind = ops::name_of(d.activation);
    own().size = {in_slice(d.elements)};
  }
  void describe(const ops::Add& d) { own().size = {in_slice(d.elements)}; }
  void describe(const ops::Dropout& d) { own().size = {in_slice(d.elements)}; }
  void describe(const ops::Embedding& d) {
    own().size = {real(d.rows * d.width), real(d.vocabulary * d.width)};
  }
  void describe(const ops::Positions& d) {
    own().size = {in_slice(d.samples * d.tokens * d.width)};
  }
  void describe(const ops::Attention& d) {
    own().size = {real(d.tokens), real(d.width)};
    const double square = real(d.tokens * d.tokens);
    const double pairs = d.causal ? (square + real(d.tokens)) / 2 : square;
    if (d.dropout > 0) fuse("dropout", pairs * real(d.samples * d.heads), 8, 8);
  }
  void describe(const ops::SwiGlu& d) { own().size = {in_slice(d.rows * d.width)}; }

  const std::int64_t slices_;
  std::vector<OpCost> rows_;
};

OpCost loss_row(const ProgramOptions& o) {
  const std::int64_t rows = o.microbatch * o.labels;
  const double n = real(rows * o.outputs);
  OpCost row;
  row.layer = "loss";
  row.kind = ops::name_of(o.loss);
  row.size = {real(rows), real(o.outputs)};
  row.cost.forward_bytes = sizeof(float) * n;
  row.cost.backward_bytes = sizeof(float) * n;
  return row;
}

}  // namespace

std::vector<OpCost> Program::op_costs() const {
  std::vector<OpCost> costs;
  const Impl& in = *impl_;
  for (std::size_t i = 0; i < in.ops.size(); ++i) {
    const OpSpec& spec = in.lowered.ops[i];
    OpCost own;
    own.layer = spec.layer;
    own.kind = in.ops[i]->kind();
    own.cost = in.ops[i]->cost();
    own.packed_bytes = real(static_cast<std::int64_t>(in.ops[i]->packed_bytes()));
    std::tie(own.first, own.end) = table_run(spec);
    own.again = in.repeats.again[i];
    const int at = in.schedule.when[static_cast<int>(Direction::kForward)][i].end;
    for (OpCost& row : RowMaker(in.schedule.slices_at(at)).rows(spec.description, std::move(own))) {
      if (!spec.needs_backward) row.cost.backward_flops = row.cost.backward_bytes = 0;
      costs.push_back(std::move(row));
    }
  }
  if (!in.lowered.head) {
    costs.push_back(loss_row(in.options));
    return costs;
  }
  const ops::LinearCrossEntropy& d = in.lowered.head->description;
  OpCost head;
  head.layer = in.lowered.head->layer;
  head.kind = "linear_cross_entropy";
  head.size = {real(d.rows), real(d.in), real(d.classes)};
  head.cost = in.loss_head->cost();
  head.packed_bytes = real(static_cast<std::int64_t>(in.loss_head->packed_bytes()));
  std::tie(head.first, head.end) = table_run(*in.lowered.head);
  costs.push_back(std::move(head));
  return costs;
}

}  // namespace lockstep::nn
