#include "nn/layout.h"

#include <algorithm>

#include "lockstep/core/error.h"

namespace lockstep::nn {
namespace {

using When = Schedule::When;

// Time counts sweeps (schedule.h): what any stage of a sweep touches lives for all of it.
class LayoutBuilder {
 public:
  explicit LayoutBuilder(const LayoutInput& input)
      : lowered_(input.lowered),
        ops_(input.ops),
        repeats_(input.repeats),
        schedule_(input.schedule),
        input_(input),
        n_(static_cast<int>(input.ops.size())) {
    layout_.ops.resize(n_);
  }

  Layout run() {
    const std::vector<int> first = place_forward();
    place_repeats(first);
    if (input_.trains) place_gradients();
    for (int i = 0; i < n_; ++i) place_saved(i);
    for (const Lifetime& l : lifetimes_)
      LOCKSTEP_CHECK(l.begin <= l.end, "a buffer ends before it begins");
    shrink_to_slices();
    layout_.placement = place(lifetimes_);
    place_workspaces();
    return std::move(layout_);
  }

 private:
  // How long what was written at some time is read, and by which op of that direction last.
  struct Use {
    int end = -1, last_reader = -1;
    void read(int op, int time) {
      end = std::max(end, time);
      last_reader = op;
    }
  };

  int root(int value) const { return lowered_.alias[value]; }
  const When& when(Direction d, int op) const { return schedule_.when[static_cast<int>(d)][op]; }
  const When& forward(int op) const { return when(Direction::kForward, op); }
  const When& again(int op) const { return when(Direction::kAgain, op); }
  const When& backward(int op) const { return when(Direction::kBackward, op); }
  std::size_t bytes_of(int value) const {
    return static_cast<std::size_t>(input_.microbatch *
                                    input_.graph.values[value].sample.elements()) *
           sizeof(float);
  }
  std::size_t parameter_bytes(int p) const {
    return static_cast<std::size_t>(lowered_.table[p].elements) * sizeof(float);
  }
  int new_slot(std::size_t bytes, int begin, int end) {
    lifetimes_.push_back({bytes, begin, end});
    return static_cast<int>(lifetimes_.size()) - 1;
  }

  // Uses of all values by repeated forwards and by backward.
  std::vector<Use> late_uses() const {
    std::vector<Use> uses(lowered_.alias.size());
    for (int i = 0; i < n_; ++i) {
      const OpSpec& spec = lowered_.ops[i];
      const bool inputs = spec.needs_backward && ops_[i]->backward_needs_inputs();
      for (const int v : spec.inputs) {
        Use& use = uses[root(v)];
        if (again(i).runs()) use.read(i, again(i).end);
        if (inputs) use.end = std::max(use.end, backward(i).end);
      }
      Use& use = uses[spec.output];
      if (spec.needs_backward && ops_[i]->backward_needs_output())
        use.end = std::max(use.end, backward(i).end);
    }
    return uses;
  }

  // Returns the slot of each value.
  std::vector<int> place_forward() {
    std::vector<Use> uses(lowered_.alias.size());
    for (int i = 0; i < n_; ++i) {
      for (const int v : lowered_.ops[i].inputs) uses[root(v)].read(i, forward(i).end);
      Use& own = uses[lowered_.ops[i].output];
      own.end = std::max(own.end, forward(i).end);
    }
    const int loss_input = root(lowered_.loss_input);
    uses[loss_input].end = std::max(uses[loss_input].end, schedule_.loss_time());
    const std::vector<Use> late = late_uses();
    for (std::size_t v = 0; v < uses.size(); ++v) {
      if (repeats_.kept[v]) uses[v].end = std::max(uses[v].end, late[v].end);
    }
    std::vector<int> slot(uses.size(), -1);
    slot[0] = layout_.data = new_slot(bytes_of(0), 0, std::max(0, uses[0].end));
    for (int i = 0; i < n_; ++i)
      place_output(i, forward(i), uses, slot, layout_.ops[i].forward);
    layout_.loss_input = slot[loss_input];
    return slot;
  }

  void place_output(int i, const When& time, std::vector<Use>& uses, std::vector<int>& slot,
                    OpSlots::Side& side) {
    const OpSpec& spec = lowered_.ops[i];
    for (const int v : spec.inputs) side.inputs.push_back(slot[root(v)]);
    const int first = root(spec.inputs[0]);
    Use& own = uses[spec.output];
    own.end = std::max(own.end, time.end);
    if (ops_[i]->in_place() && uses[first].last_reader == i && uses[first].end == time.end) {
      slot[spec.output] = slot[first];
      lifetimes_[slot[first]].end = own.end;
    } else {
      slot[spec.output] = new_slot(bytes_of(spec.output), time.end, own.end);
    }
    side.output = slot[spec.output];
  }

  // Second lives of what repeated forwards write. A kept value may be read by them, but they never
  // write in its place.
  void place_repeats(const std::vector<int>& first) {
    std::vector<Use> uses = late_uses();
    std::vector<int> slot = first;
    for (std::size_t v = 0; v < uses.size(); ++v) {
      if (repeats_.kept[v]) uses[v].last_reader = -1;
    }
    for (int i = 0; i < n_; ++i) {
      OpSlots& slots = layout_.ops[i];
      if (again(i).runs()) {
        place_output(i, again(i), uses, slot, slots.backward);
        continue;
      }
      slots.backward.output = slots.forward.output;
      for (const int v : lowered_.ops[i].inputs) slots.backward.inputs.push_back(slot[root(v)]);
    }
  }

  // A value read by several ops gets its gradient in the order of the backward pass: the first
  // writes, later ones add to it, by themselves where they can, or write a temporary that is added.
  void place_gradients() {
    std::vector<int> slot(lowered_.alias.size(), -1);
    const int out = root(lowered_.loss_input), loss = schedule_.loss_time();
    // A head's gradients come together, whether or not somebody reads this one.
    if (lowered_.needs_gradient[out] || lowered_.head)
      slot[out] = layout_.d_loss_input = new_slot(bytes_of(out), loss, loss);
    for (int i = n_ - 1; i >= 0; --i) {
      const OpSpec& spec = lowered_.ops[i];
      OpSlots& slots = layout_.ops[i];
      if (!spec.needs_backward) continue;
      slots.d_output = slot[spec.output];
      LOCKSTEP_CHECK(slots.d_output >= 0, "layer {} has no gradient", spec.layer);
      extend(slots.d_output, backward(i).end);
      for (std::size_t k = 0; k < spec.inputs.size(); ++k)
        place_gradient(i, static_cast<int>(k), slot);
    }
    for (const Tie& tie : lowered_.ties) {
      const int begin = tie.reader == n_ ? loss : backward(tie.reader).begin;
      layout_.ties.push_back(
          new_slot(parameter_bytes(tie.parameter), begin, backward(tie.embedding).end));
    }
  }

  void place_gradient(int i, int k, std::vector<int>& slot) {
    OpSlots& slots = layout_.ops[i];
    const int v = root(lowered_.ops[i].inputs[k]);
    const auto [begin, end] = backward(i);
    const int written = k == 0 ? end : begin;
    const bool in_place = k == ops_[i]->in_place_gradient();
    int write = -1, add = -1;
    if (lowered_.needs_gradient[v] && slot[v] >= 0) {
      if (k == 0 && ops_[i]->accumulates()) {
        write = slot[v];
        slots.accumulate = true;
      } else {
        write = in_place ? slots.d_output : new_slot(bytes_of(v), written, end);
        add = slot[v];
      }
      extend(slot[v], end);
    } else if (lowered_.needs_gradient[v]) {
      write = slot[v] = in_place ? slots.d_output : new_slot(bytes_of(v), written, end);
    }
    slots.d_inputs.push_back(write);
    slots.add_into.push_back(add);
  }

  void extend(int slot, int end) { lifetimes_[slot].end = std::max(lifetimes_[slot].end, end); }

  // Saved tensors and lane statistics: from the last forward to backward.
  void place_saved(int i) {
    const OpSpec& spec = lowered_.ops[i];
    OpSlots& slots = layout_.ops[i];
    const int end = spec.needs_backward ? backward(i).end : forward(i).end;
    const auto place_side = [&](OpSlots::Side& side, int first, int last) {
      if (ops_[i]->saved_bytes() > 0) side.saved = new_slot(ops_[i]->saved_bytes(), first, last);
      for (const int s : spec.statistics)
        side.lane_statistics.push_back(new_slot(parameter_bytes(s), first, last));
    };
    if (again(i).runs()) {
      place_side(slots.forward, forward(i).begin, forward(i).end);
      place_side(slots.backward, again(i).begin, end);
    } else {
      place_side(slots.forward, forward(i).begin, end);
      slots.backward.saved = slots.forward.saved;
      slots.backward.lane_statistics = slots.forward.lane_statistics;
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
      shrink(slots.forward.output);
      shrink(slots.backward.output);
      for (const int slot : slots.d_inputs) shrink(slot);
    }
  }

  void place_workspaces() {
    std::vector<Lifetime> lifetimes;
    const auto add = [&](std::size_t bytes, When when) {
      lifetimes.push_back({bytes, when.begin, when.end});
      return static_cast<int>(lifetimes.size()) - 1;
    };
    for (int i = 0; i < n_; ++i) {
      for (int d = 0; d < kDirections; ++d) {
        const When& when = schedule_.when[d][i];
        if (when.runs()) layout_.ops[i].workspace[d] = add(ops_[i]->workspace_bytes(), when);
      }
    }
    layout_.loss_workspace =
        add(input_.loss_workspace_bytes, {schedule_.loss_time(), schedule_.loss_time()});
    layout_.workspace = place(lifetimes);
  }

  const Lowered& lowered_;
  const std::vector<std::unique_ptr<ops::Op>>& ops_;
  const Repeats& repeats_;
  const Schedule& schedule_;
  const LayoutInput& input_;
  const int n_;
  std::vector<Lifetime> lifetimes_;
  Layout layout_;
};

}  // namespace

Layout make_layout(const LayoutInput& input) { return LayoutBuilder(input).run(); }

}  // namespace lockstep::nn
