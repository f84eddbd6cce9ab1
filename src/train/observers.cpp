#include "train/event_rings.h"
#include "train/observer.h"
#include "train/profiler.h"
#include "train/run_recorder.h"
#include "train/skipped_samples.h"
#include "train/stragglers.h"
#include "train/usage.h"

namespace lockstep::train {

std::vector<std::unique_ptr<Observer>> make_observers(const Observed& observed) {
  std::vector<std::unique_ptr<Observer>> observers;
  observers.push_back(std::make_unique<Usage>(observed));
  observers.push_back(std::make_unique<Stragglers>(observed));
  if (observed.run.data.on_error == data::OnError::kSkip)
    observers.push_back(std::make_unique<SkippedSamples>(observed));
  if (!observed.run.checkpoint.dir.empty()) {
    observers.push_back(std::make_unique<Profiler>(observed));
    observers.push_back(std::make_unique<RunRecorder>(observed));
  }
  observers.push_back(make_event_rings());
  return observers;
}

}  // namespace lockstep::train
