#include "nn/layout.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep::nn {
namespace {

// Time counts sweeps (schedule.h): what any stage of a sweep touches lives for all of it.
class LayoutBuilder {
 public:
  LayoutBuilder(const Graph& graph, const Lowered& lowered,
                const std::vector<std::unique_ptr<ops::Op>>& ops, const Schedule& schedule,
                std::int64_t microbatch)
      : graph_(graph),
        lowered_(lowered),
        ops_(ops),
        schedule_(schedule),
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
    shrink_to_slices();
    layout_.placement = place(lifetimes_);
    place_workspaces();
    return std::move(layout_);
  }

 private:
  int root(int value) const { return lowered_.alias[value]; }
  const Schedule::When& forward(int op) const { return schedule_.forward_when[op]; }
  const Schedule::When& backward(int op) const { return schedule_.backward_when[op]; }
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
    std::vector<int> last_use(values, 0), last_reader(values, -1);
    for (int i = 0; i < n_; ++i) {
      const OpSpec& spec = lowered_.ops[i];
      for (const int v : spec.inputs) {
        last_reader[root(v)] = i;
        int& end = last_use[root(v)];
        end = std::max(end, forward(i).end);
        if (spec.needs_backward && ops_[i]->backward_needs_inputs())
          end = std::max(end, backward(i).end);
      }
      int& end = last_use[spec.output];
      end = std::max(end, forward(i).end);
      if (spec.needs_backward && ops_[i]->backward_needs_output())
        end = std::max(end, backward(i).end);
    }
    last_use[root(graph_.output)] = std::max(last_use[root(graph_.output)], schedule_.loss_time());
    std::vector<int> slot(values, -1);
    slot[0] = layout_.data = new_slot(bytes_of(0), 0, last_use[0]);
    for (int i = 0; i < n_; ++i) {
      const OpSpec& spec = lowered_.ops[i];
      for (const int v : spec.inputs) layout_.ops[i].inputs.push_back(slot[root(v)]);
      const int first = root(spec.inputs[0]);
      if (ops_[i]->in_place() && last_reader[first] == i && last_use[first] == forward(i).end) {
        slot[spec.output] = slot[first];
        lifetimes_[slot[first]].end = std::max(last_use[first], last_use[spec.output]);
      } else {
        slot[spec.output] = new_slot(bytes_of(spec.output), forward(i).end, last_use[spec.output]);
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
    slot[out] = layout_.d_output =
        new_slot(bytes_of(out), schedule_.loss_time(), schedule_.loss_time());
    for (int i = n_ - 1; i >= 0; --i) {
      const OpSpec& spec = lowered_.ops[i];
      OpSlots& slots = layout_.ops[i];
      if (!spec.needs_backward) continue;
      const auto [begin, end] = backward(i);
      slots.d_output = slot[spec.output];
      LOCKSTEP_CHECK(slots.d_output >= 0, "layer {} has no gradient", spec.layer);
      lifetimes_[slots.d_output].end = std::max(lifetimes_[slots.d_output].end, end);
      for (std::size_t k = 0; k < spec.inputs.size(); ++k) {
        const int v = root(spec.inputs[k]);
        const int written = k == 0 ? end : begin;
        int write = -1, add = -1;
        if (lowered_.needs_gradient[v]) {
          const bool in_place = static_cast<int>(k) == ops_[i]->in_place_gradient();
          if (slot[v] >= 0) {
            write = in_place ? slots.d_output : new_slot(bytes_of(v), written, end);
            add = slot[v];
            lifetimes_[add].end = std::max(lifetimes_[add].end, end);
          } else if (in_place) {
            write = slot[v] = slots.d_output;
          } else {
            write = slot[v] = new_slot(bytes_of(v), written, end);
          }
        }
        slots.d_inputs.push_back(write);
        slots.add_into.push_back(add);
      }
    }
  }

  void place_saved(int i) {
    const OpSpec& spec = lowered_.ops[i];
    const int begin = forward(i).begin;
    const int end = spec.needs_backward ? backward(i).end : forward(i).end;
    if (ops_[i]->saved_bytes() > 0) {
      layout_.ops[i].saved = new_slot(ops_[i]->saved_bytes(), begin, end);
    }
    for (const int s : spec.statistics) {
      const auto bytes = static_cast<std::size_t>(lowered_.table[s].elements) * sizeof(float);
      layout_.ops[i].lane_statistics.push_back(new_slot(bytes, begin, end));
    }
  }

  // An activation or gradient that lives in one sweep is gone, slice by slice, before the next is
  // written: it takes the place of one slice, which therefore stays in cache.
  void shrink_to_slices() {
    layout_.one_slice.assign(lifetimes_.size(), false);
    const auto shrink = [&](int slot) {
      if (slot < 0 || slot == layout_.data || layout_.one_slice[slot]) return;
      Lifetime& l = lifetimes_[slot];
      const std::int64_t slices = l.begin == l.end ? schedule_.slices_at(l.begin) : 1;
      if (slices == 1) return;
      l.bytes /= static_cast<std::size_t>(slices);
      layout_.one_slice[slot] = true;
    };
    for (const OpSlots& slots : layout_.ops) {
      shrink(slots.output);
      for (const int slot : slots.d_inputs) shrink(slot);
    }
  }

  void place_workspaces() {
    std::vector<Lifetime> lifetimes;
    const auto add = [&](int i, Schedule::When when) {
      lifetimes.push_back({ops_[i]->workspace_bytes(), when.begin, when.end});
      return static_cast<int>(lifetimes.size()) - 1;
    };
    for (int i = 0; i < n_; ++i) {
      layout_.ops[i].forward_workspace = add(i, forward(i));
      if (lowered_.ops[i].needs_backward) layout_.ops[i].backward_workspace = add(i, backward(i));
    }
    layout_.workspace = place(lifetimes);
  }

  const Graph& graph_;
  const Lowered& lowered_;
  const std::vector<std::unique_ptr<ops::Op>>& ops_;
  const Schedule& schedule_;
  const std::int64_t microbatch_;
  const int n_;
  std::vector<Lifetime> lifetimes_;
  Layout layout_;
};

}  // namespace

Layout make_layout(const Graph& graph, const Lowered& lowered,
                   const std::vector<std::unique_ptr<ops::Op>>& ops, const Schedule& schedule,
                   std::int64_t microbatch) {
  return LayoutBuilder(graph, lowered, ops, schedule, microbatch).run();
}

}  // namespace lockstep::nn
