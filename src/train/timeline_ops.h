// The ops that a timeline's records number: their names and what they cost, as the note beside the
// rings has them.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/core/event_file.h"
#include "lockstep/nn/program.h"

namespace lockstep::train {

// What events::set_note() is given. device: "cpu", "cuda".
std::string ops_note(const nn::Program& program, std::int64_t accumulate,
                     const std::string& device);

class TimelineOps {
 public:
  explicit TimelineOps(const std::string& note);  // any text: ops without a note have numbers alone
  std::string name(const events::Record& record) const;  // its layer
  // `,"op":"convolution","direction":"forward","lane":3,"slice":0,"slices":4,"flops":1e6,...`
  std::string args(const events::Ring& ring, const events::Record& record) const;

 private:
  struct Op {
    std::string layer, kind;
    double flops[2] = {}, bytes[2] = {};  // forward, backward; of a microbatch
  };
  const Op* op_of(const events::Record& record) const;
  std::vector<Op> ops_;
  std::int64_t accumulate_ = 1;
};

}  // namespace lockstep::train
