// Passes of a stream as captured graphs, one for each set of addresses that gradients go to: the
// leaves of a rank's lanes. The first pass is run as it comes, so that kernels are loaded and
// libraries have made their choices before anything is captured.
#pragma once
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "lockstep/nn/program.h"

namespace lockstep::nn {

class CapturedPasses {
 public:
  explicit CapturedPasses(int parameters) : addresses_(parameters) {}
  // pass: gives forward and backward of one microbatch to the stream, with this sink. Then `sink`
  // has been told of all that is written and complete.
  void run(Stream& stream, GradientSink& sink, const std::function<void(GradientSink&)>& pass);

 private:
  struct Captured {
    std::vector<float*> addresses;           // by parameter
    std::vector<std::pair<int, int>> order;  // in which parameters are complete
    std::unique_ptr<Graph> graph;
  };
  const Captured& captured(Stream& stream, GradientSink& sink,
                           const std::function<void(GradientSink&)>& pass);

  std::vector<float*> addresses_;  // of the pass at hand
  std::vector<Captured> passes_;
  bool warm_ = false;
};

}  // namespace lockstep::nn
