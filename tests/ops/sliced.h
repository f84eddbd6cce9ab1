// Runs an op slice by slice as a program does, to compare bits for every number of slices.
#pragma once
#include <gtest/gtest.h>

#include "ops/run_op.h"

namespace lockstep::ops {

struct SlicedCase {
  std::vector<Floats> inputs, parameters;
  Floats d_output;
  RandomKey random;
  Floats start;  // of d_inputs[0], where backward adds to it; empty: it is written
};

struct SlicedResult {
  Floats output;
  std::vector<Floats> d_inputs, d_parameters;
  bool operator==(const SlicedResult&) const = default;
};

// count 0: forward() and backward().
inline SlicedResult run_sliced(const Op& op, const SlicedCase& c, std::int64_t count) {
  SlicedResult r{Floats(c.d_output.size(), NAN), {}, {}};
  for (const Floats& x : c.inputs) r.d_inputs.emplace_back(x.size(), NAN);
  for (const Floats& p : c.parameters) r.d_parameters.emplace_back(p.size(), NAN);
  if (!c.start.empty()) r.d_inputs[0] = c.start;
  Doubles saved(op.saved_bytes() / 8 + 1, NAN), workspace(op.workspace_bytes() / 8 + 1, NAN);
  Doubles packed(op.packed_bytes() / 8 + 1, NAN);
  std::vector<const float*> inputs(c.inputs.size()), parameters;
  std::vector<float*> d_inputs(c.inputs.size()), d_parameters;
  for (const Floats& p : c.parameters) parameters.push_back(p.data());
  op.pack(parameters.data(), packed.data(), nullptr);
  const auto args = [&](Slice slice, bool finish) {
    const auto at = [&](auto& x) {
      return x.data() + static_cast<std::int64_t>(x.size()) / slice.count * slice.index;
    };
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      inputs[i] = at(c.inputs[i]);
      d_inputs[i] = at(r.d_inputs[i]);
    }
    d_parameters.clear();
    for (Floats& d : r.d_parameters) d_parameters.push_back(finish ? d.data() : nullptr);
    Args a;
    a.inputs = inputs.data(), a.output = at(r.output), a.d_output = at(c.d_output);
    a.d_inputs = d_inputs.data(), a.parameters = parameters.data();
    a.d_parameters = d_parameters.data();
    a.saved = saved.data(), a.workspace = workspace.data(), a.packed = packed.data();
    a.random = c.random, a.accumulate = !c.start.empty();
    return a;
  };
  if (count == 0) {
    op.forward(args({}, true));
    op.backward(args({}, true));
    return r;
  }
  op.forward_begin(args({}, false));
  for (Slice s{0, count}; s.index < count; ++s.index) op.forward_slice(args(s, false), s);
  std::fill(workspace.begin(), workspace.end(), NAN);
  op.backward_begin(args({}, false));
  for (Slice s{0, count}; s.index < count; ++s.index) op.backward_slice(args(s, false), s);
  op.backward_finish(args({}, true));
  return r;
}

// Every number of slices that a program may ask for gives the bits of the whole.
inline void expect_slices_agree(const Op& op, const SlicedCase& c, std::int64_t finest) {
  ASSERT_EQ(op.slices(), finest);
  const SlicedResult whole = run_sliced(op, c, 0);
  for (std::int64_t count = 1; count <= finest; ++count) {
    if (finest % count != 0) continue;
    EXPECT_TRUE(run_sliced(op, c, count) == whole) << count << " slices";
  }
}

}  // namespace lockstep::ops
