#include "nn/layout.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep::nn {
namespace {

// Time: forward of op i at i, the loss at n, backward of op i at 2n - i (n ops).
class LayoutBuilder {
 public:
  LayoutBuilder(const Graph& graph, const Lowered& lowered,
                const std::vector<std::unique_ptr<ops::Op>>& ops, std::int64_t microbatch)
      : graph_(graph),
        lowered_(lowered),
        ops_(ops),
        microbatch_(microbatch),
        n_(static_cast<int>(ops.size())) {
    layout_.ops.resize(n_);
  }

  Layout run() {
    place_activations();
    place_gradients();
    for (int i = 0; i < n_; ++i) place_saved(i);
    for (const Lifetime& l : lifetimes_)
      LOCKSTEP_CHECK(l.begin <= l.end, "a buffer ends before it begins");
    layout_.placement = place(lifetimes_);
    return std::move(layout_);
  }

 private:
  int root(int value) const { return lowered_.alias[value]; }
  int backward_time(int op) const { return 2 * n_ - op; }
  std::size_t bytes_of(int value) const {
    return static_cast<std::size_t>(microbatch_ * graph_.values[value].sample.elements()) *
           sizeof(float);
  }
  int new_slot(std::size_t bytes, int begin, int end) {
    lifetimes_.push_back({bytes, begin, end});
    return static_cast<int>(lifetimes_.size()) - 1;
  }

  void place_activations() {
    const int values = static_cast<int>(graph_.values.size());
    std::vector<int> last_use(values, 0);
    for (int i = 0; i < n_; ++i) {
      const OpSpec& spec = lowered_.ops[i];
      for (const int v : spec.inputs) {
        int& end = last_use[root(v)];
        end = std::max(end, i);
        if (spec.needs_backward && ops_[i]->backward_needs_inputs())
          end = std::max(end, backward_time(i));
      }
      int& end = last_use[spec.output];
      end = std::max(end, i);
      if (spec.needs_backward && ops_[i]->backward_needs_output())
        end = std::max(end, backward_time(i));
    }
    last_use[root(graph_.output)] = std::max(last_use[root(graph_.output)], n_);
    std::vector<int> slot(values, -1);
    slot[0] = layout_.data = new_slot(bytes_of(0), 0, last_use[0]);
    for (int i = 0; i < n_; ++i) {
      const OpSpec& spec = lowered_.ops[i];
      for (const int v : spec.inputs) layout_.ops[i].inputs.push_back(slot[root(v)]);
      const int first = root(spec.inputs[0]);
      if (ops_[i]->in_place() && last_use[first] == i) {
        slot[spec.output] = slot[first];
        lifetimes_[slot[first]].end = std::max(i, last_use[spec.output]);
      } else {
        slot[spec.output] = new_slot(bytes_of(spec.output), i, last_use[spec.output]);
        layout_.activation_bytes += bytes_of(spec.output);
      }
      layout_.ops[i].output = slot[spec.output];
    }
    layout_.output = slot[root(graph_.output)];
  }

  // A value read by several ops gets its gradient in the order of the backward pass: the first
  // writes, later ones write a temporary that is added.
  void place_gradients() {
    std::vector<int> slot(graph_.values.size(), -1);
    const int out = root(graph_.output);
    slot[out] = layout_.d_output = new_slot(bytes_of(out), n_, n_);
    for (int i = n_ - 1; i >= 0; --i) {
      const OpSpec& spec = lowered_.ops[i];
      OpSlots& slots = layout_.ops[i];
      if (!spec.needs_backward) continue;
      const int now = backward_time(i);
      slots.d_output = slot[spec.output];
      LOCKSTEP_CHECK(slots.d_output >= 0, "layer {} has no gradient", spec.layer);
      lifetimes_[slots.d_output].end = std::max(lifetimes_[slots.d_output].end, now);
      for (std::size_t k = 0; k < spec.inputs.size(); ++k) {
        const int v = root(spec.inputs[k]);
        int write = -1, add = -1;
        if (lowered_.needs_gradient[v]) {
          if (slot[v] >= 0) {
            write = new_slot(bytes_of(v), now, now);
            add = slot[v];
            lifetimes_[add].end = std::max(lifetimes_[add].end, now);
          } else if (k == 0 && ops_[i]->in_place()) {
            write = slot[v] = slots.d_output;
          } else {
            write = slot[v] = new_slot(bytes_of(v), now, now);
            layout_.gradient_bytes += bytes_of(v);
          }
        }
        slots.d_inputs.push_back(write);
        slots.add_into.push_back(add);
      }
    }
  }

  void place_saved(int i) {
    const OpSpec& spec = lowered_.ops[i];
    const int end = spec.needs_backward ? backward_time(i) : i;
    if (ops_[i]->saved_bytes() > 0) {
      layout_.ops[i].saved = new_slot(ops_[i]->saved_bytes(), i, end);
      layout_.saved_bytes += ops_[i]->saved_bytes();
    }
    for (const int s : spec.statistics) {
      const auto bytes = static_cast<std::size_t>(lowered_.table[s].elements) * sizeof(float);
      layout_.ops[i].lane_statistics.push_back(new_slot(bytes, i, end));
    }
  }

  const Graph& graph_;
  const Lowered& lowered_;
  const std::vector<std::unique_ptr<ops::Op>>& ops_;
  const std::int64_t microbatch_;
  const int n_;
  std::vector<Lifetime> lifetimes_;
  Layout layout_;
};

}  // namespace

Layout make_layout(const Graph& graph, const Lowered& lowered,
                   const std::vector<std::unique_ptr<ops::Op>>& ops, std::int64_t microbatch) {
  return LayoutBuilder(graph, lowered, ops, microbatch).run();
}

}  // namespace lockstep::nn
