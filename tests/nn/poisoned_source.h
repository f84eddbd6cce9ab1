// Parameters that are there while a use holds them and NaN before and after.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "run_program.h"

namespace lockstep::nn {

class PoisonedSource : public ParameterSource {
 public:
  PoisonedSource(const Program& program, const Floats& flat)
      : program_(program), flat_(flat), copies_(program.table().size()) {
    for (int p = 0; p < program.table().size(); ++p)
      copies_[p].assign(static_cast<std::size_t>(program.table()[p].elements), NAN);
    log_.reserve(1000);
  }
  void begin_pass(int uses) override { log_.push_back({'b', uses}); }
  void hold(int use, const float** addresses, Stream& stream) override {
    EXPECT_EQ(&stream, &program_.stream(0));
    log_.push_back({'h', use});
    for (const int p : program_.uses()[use].parameters) {
      const Parameter& parameter = program_.table()[p];
      std::copy_n(flat_.data() + parameter.offset, parameter.elements, copies_[p].data());
      *addresses++ = copies_[p].data();
    }
  }
  void release(int use, Stream& stream) override {
    EXPECT_EQ(&stream, &program_.stream(0));
    log_.push_back({'r', use});
    for (const int p : program_.uses()[use].parameters) std::ranges::fill(copies_[p], NAN);
  }

  struct Call {
    char kind;  // begin_pass, hold, release
    int number;
    bool operator==(const Call&) const = default;
  };
  const std::vector<Call>& calls() const { return log_; }
  void forget_calls() { log_.clear(); }

 private:
  const Program& program_;
  const Floats& flat_;
  std::vector<Floats> copies_;  // by parameter
  std::vector<Call> log_;
};

// A program that holds its parameters, with those of `flat`.
struct HeldRunning {
  HeldRunning(Device& device, Case c, const Floats& flat)
      : program(device, c.layers, held(c.options)), source(program, flat) {
    program.bind(source);
  }
  static ProgramOptions held(ProgramOptions options) {
    options.held = true;
    return options;
  }
  Program program;
  PoisonedSource source;
};

}  // namespace lockstep::nn
