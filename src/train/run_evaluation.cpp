// The evaluation of a checkpoint on a split, as a command of its own.
#include "lockstep/core/log.h"
#include "lockstep/train/trainer.h"
#include "train/algorithm_choice.h"
#include "train/evaluation.h"
#include "train/precision.h"
#include "train/rank_device.h"
#include "train/session.h"

namespace lockstep::train {

ExitCode run_evaluation(comm::Communicator& communicator, const Run& run,
                        const EvalRequest& request) {
  // Whatever strategy has trained them, every rank evaluates with all parameters.
  Run whole = run;
  whole.parallel.options = {};
  DataFacts facts;
  DataVersion trained_on;
  communicator.together([&] {
    const std::string description = read_checkpoint_text(request.checkpoint).description;
    facts = parse_facts(description, request.checkpoint.string());
    trained_on = parse_version(description);
  });
  const RankDevice device(communicator, run);
  recall_algorithms(communicator, device, request.checkpoint);
  warn_of_precision(run, device.get());
  Model model(communicator, device.get(), whole, request.split, &facts);
  // Any data may be evaluated; that they are others than in training must not go unseen.
  if (!trained_on.id.empty() && !model.manifest.id.empty() && trained_on.id != model.manifest.id)
    log::info("{} has the id {}; the model was trained on {}", model.manifest.name(),
              model.manifest.id, trained_on.id);
  const std::int64_t elements = model.program.table().flat_elements();
  const Buffer flat =
      device.get().allocate(static_cast<std::size_t>(elements) * sizeof(float), "parameters");
  HostTensors host(device.get(), model.program.stream(0));
  host.add({"parameters", flat.as<float>()}, elements);
  State state{&model.program.table(), host.tensors(), {}};
  read_checkpoint(communicator, request.checkpoint, state, ReadScope::kListed);
  host.store();
  model.program.bind(flat.as<float>());
  model.program.pack();
  const auto reader =
      data::make_row_reader(model.manifest, loader_options(run, model.task, request.split));
  const Evaluation result =
      evaluate(communicator, model.program, model.streams, *reader, run.train.lanes);
  if (log::speaks())
    log::line(fmt::format("{} of {}: {} samples, {}", request.split, request.checkpoint.string(),
                          result.samples, values_text(result)));
  return ExitCode::kDone;
}

}  // namespace lockstep::train
