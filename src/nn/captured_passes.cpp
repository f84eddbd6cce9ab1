#include "nn/captured_passes.h"

#include <algorithm>

namespace lockstep::nn {
namespace {

// While capturing: addresses are known, and nothing is complete.
class CapturingSink final : public GradientSink {
 public:
  CapturingSink(GradientSink& sink, const std::vector<float*>& addresses,
                std::vector<std::pair<int, int>>& order)
      : sink_(sink), addresses_(addresses), order_(order) {}
  float* address(int parameter) override { return addresses_[parameter]; }
  void written(int first, int end, Stream& stream) override { sink_.written(first, end, stream); }
  void complete(int first, int end) override { order_.emplace_back(first, end); }

 private:
  GradientSink& sink_;
  const std::vector<float*>& addresses_;
  std::vector<std::pair<int, int>>& order_;
};

}  // namespace

void CapturedPasses::run(Stream& stream, GradientSink& sink,
                         const std::function<void(GradientSink&)>& pass) {
  if (!warm_) {
    pass(sink);
    warm_ = true;
    return;
  }
  for (int p = static_cast<int>(addresses_.size()) - 1; p >= 0; --p)
    addresses_[p] = sink.address(p);
  const Captured& known = captured(stream, sink, pass);
  stream.launch(*known.graph);
  for (const auto& [first, end] : known.order) sink.complete(first, end);
}

const CapturedPasses::Captured& CapturedPasses::captured(
    Stream& stream, GradientSink& sink, const std::function<void(GradientSink&)>& pass) {
  const auto found = std::ranges::find(passes_, addresses_, &Captured::addresses);
  if (found != passes_.end()) return *found;
  Captured& made = passes_.emplace_back();
  made.addresses = addresses_;
  CapturingSink capturing(sink, made.addresses, made.order);
  stream.begin_capture();
  pass(capturing);
  made.graph = stream.end_capture();
  return made;
}

}  // namespace lockstep::nn
