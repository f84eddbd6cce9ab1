// The additions over a node's partial sums where they change from step to step: the same as
// make_program() gives for these sources, written without allocating. Knows no addresses.
#pragma once
#include <cstdint>
#include <vector>

#include "fold_plan.h"

namespace lockstep::comm {

class StepProgram {
 public:
  // For at most range.size() sources that together are all lanes of `range` out of `lanes`.
  StepProgram(LaneRange range, std::int64_t lanes);
  void clear();
  void add(Node source);  // in lane order
  void end();             // what is left goes out
  // Operands keep their numbers: sources, scratch and outs are those of the largest program.
  const TileProgram& program() const { return program_; }

 private:
  // Sources come in lane order, so that what waits is a stack. The sum of place i of the stack lies
  // in scratch tile i.
  struct Waiting {
    Node node;
    int operand = 0, writer = -1;  // writer: the addition that made it; -1: a source
  };
  const std::int64_t lanes_;
  TileProgram program_;
  std::vector<Waiting> stack_;
  int sources_ = 0;
};

}  // namespace lockstep::comm
