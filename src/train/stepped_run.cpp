#include "lockstep/train/stepped_run.h"

#include <algorithm>
#include <optional>

#include "lockstep/core/clock.h"
#include "train/data_passes.h"
#include "train/rank_device.h"
#include "train/session.h"

namespace lockstep::train {
namespace {

// Never its end: where a schedule needs one it is far away.
constexpr std::int64_t kEndless = std::int64_t{1} << 40;
// Steps of a stretch that may end anywhere.
constexpr std::int64_t kStretch = 16;

Run endless(Run run) {
  run.checkpoint.dir.clear();
  run.train.steps = kEndless;
  return run;
}

}  // namespace

struct SteppedRun::Impl {
  Impl(comm::Communicator& ranks, const Run& asked)
      : communicator(ranks),
        run(endless(asked)),
        device(ranks, run, Computing::kTrainingRanks),
        session(ranks, device.get(), run),
        passes(session.model.program, *session.loader, session.model.streams, run.train.seed,
               run.train.accumulate) {
    first_values();
    std::vector<comm::LaneRange> lanes;
    for (const auto& of_stream : session.strategy->home())
      lanes.insert(lanes.end(), of_stream.begin(), of_stream.end());
    parallel::Strategy& strategy = *session.strategy;
    session.loader->start(lanes, at, strategy.moves_lanes(),
                          parallel::lane_places(ranks.topology(), parallel_options(run)));
    if (strategy.moves_lanes() && !session.loader->lanes_move()) strategy.keep_lanes();
    session.restored();
  }

  void first_values() {
    const ParameterTable& table = session.model.program.table();
    const FlatTensor& parameters = session.host.tensors().front();
    if (parameters.holders == nullptr) return table.initialise(run.train.seed, parameters.data);
    for (int b = 0; b < static_cast<int>(table.blocks().size()); ++b)
      if ((*parameters.holders)[b] == communicator.topology().position)
        table.initialise(run.train.seed, b, parameters.data);
  }

  std::int64_t advance() {
    const ScopedTimer timer(seconds);
    const std::int64_t most = session.strategy->ends_anywhere() ? kStretch : kEndless - step;
    outcomes.resize(static_cast<std::size_t>(session.strategy->stretch(step, most)));
    session.deal_lanes(at);
    session.loader->advance(at);
    passes.begin(step, at, [] { return parallel::Requests{}; });
    const std::int64_t done = session.strategy->run(step, passes, outcomes);
    step += done;
    const std::int64_t in_epoch = at.step + done, epoch = session.loader->steps_per_epoch();
    at = {at.epoch + in_epoch / epoch, in_epoch % epoch};
    return done;
  }

  comm::Communicator& communicator;
  const Run run;
  const RankDevice device;
  Session session;
  DataPasses passes;
  std::vector<parallel::StepOutcome> outcomes;
  std::int64_t step = 0;
  data::Position at;
  double seconds = 0;  // in steps
};

SteppedRun::SteppedRun(comm::Communicator& communicator, const Run& run)
    : impl_(std::make_unique<Impl>(communicator, run)) {}
SteppedRun::~SteppedRun() = default;

std::int64_t SteppedRun::advance() { return impl_->advance(); }

void SteppedRun::settle() {
  const nn::Program& program = impl_->session.model.program;
  for (int s = 0; s < program.options().streams; ++s) program.stream(s).synchronize();
}

Hash128 SteppedRun::digest() {
  Progress progress;
  progress.integers["step"] = impl_->step;
  return train::digest(impl_->communicator, impl_->session.state(progress));
}

StepTimes SteppedRun::times() const {
  const comm::FoldCounters& counters = impl_->session.strategy->counters();
  StepTimes times;
  times.total = impl_->seconds;
  times.data = impl_->session.loader->times().wait;
  times.exposed = counters.wait.exposed;
  times.hidden = counters.wait.hidden;
  times.fold = counters.fold_seconds;
  times.compute = std::max(0.0, times.total - times.data - times.exposed - times.fold);
  return times;
}

std::int64_t SteppedRun::batch() const { return impl_->run.train.batch; }
std::int64_t SteppedRun::sequence() const { return impl_->session.model.task.sequence; }
double SteppedRun::flops() const {
  return impl_->session.model.program.flops() *
         static_cast<double>(impl_->run.train.lanes * impl_->run.train.accumulate);
}
bool SteppedRun::on_device() const { return impl_->device.run_is_cuda(); }
bool SteppedRun::in_bf16() const {
  return impl_->session.model.program.options().precision == ops::Precision::kBf16;
}

}  // namespace lockstep::train
