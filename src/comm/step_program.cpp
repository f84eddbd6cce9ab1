#include "step_program.h"

#include "lockstep/core/error.h"

namespace lockstep::comm {

StepProgram::StepProgram(LaneRange range, std::int64_t lanes) : lanes_(lanes) {
  program_.sources = static_cast<int>(range.size());
  program_.scratch = most_canonical(range.size());
  program_.out_nodes = canonical_nodes(range, lanes);
  program_.outs = static_cast<int>(program_.out_nodes.size());
  program_.adds.reserve(range.size());
  program_.moves.reserve(range.size());
  stack_.reserve(range.size());
}

void StepProgram::clear() {
  program_.adds.clear();
  program_.moves.clear();
  stack_.clear();
  sources_ = 0;
}

void StepProgram::add(Node source) {
  LOCKSTEP_CHECK(sources_ < program_.sources, "more sources than lanes");
  Waiting here{highest_name(source, lanes_), sources_++, -1};
  while (!stack_.empty() && stack_.back().node == sibling(here.node)) {
    const Waiting left = stack_.back();
    stack_.pop_back();
    const int into = program_.first_scratch() + static_cast<int>(stack_.size());
    program_.adds.push_back({into, left.operand, here.operand});
    here = {highest_name(parent(here.node), lanes_), into,
            static_cast<int>(program_.adds.size()) - 1};
  }
  stack_.push_back(here);
}

void StepProgram::end() {
  LOCKSTEP_CHECK(stack_.size() == program_.out_nodes.size(), "{} sums leave instead of {}",
                 stack_.size(), program_.out_nodes.size());
  for (int i = 0; i < program_.outs; ++i) {
    const Waiting& sum = stack_[i];
    LOCKSTEP_CHECK(sum.node == program_.out_nodes[i], "another sum leaves");
    const int out = program_.first_out() + i;
    if (sum.writer >= 0) {
      program_.adds[sum.writer].into = out;  // nothing reads it again
    } else {
      program_.moves.push_back({out, sum.operand});
    }
  }
}

}  // namespace lockstep::comm
