#include "train/setup.h"

#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/data/normalisation.h"

namespace lockstep::train {
namespace {

void check_zero_to_one(const data::Field& target) {
  const data::Transform& t = target.transform;
  if (t.one_hot > 0) return;
  const bool as_stored = !t.log1p && t.scale == 1 && t.offset == 0 && !t.normalise;
  if (target.classes > 2 && as_stored)
    throw UserError(
        "model.loss = \"binary_cross_entropy\" needs targets of 0 and 1, but field '{}' has {} "
        "classes; use \"softmax_cross_entropy\" or another data.target",
        target.name, target.classes);
  const auto range = data::seen_range(target);
  if (range && !(range->minimum >= 0 && range->maximum <= 1))
    throw UserError(
        "model.loss = \"binary_cross_entropy\" needs targets between 0 and 1, but field '{}' goes "
        "from {:g} to {:g}; use \"mse\" or another data.target",
        target.name, range->minimum, range->maximum);
}

std::vector<std::string> usual_metrics(const Task& task) {
  if (task.tokens()) return {"perplexity"};
  switch (task.loss) {
    case ops::LossKind::kSoftmaxCrossEntropy:
    case ops::LossKind::kBinaryCrossEntropy:
      return {"accuracy"};
    case ops::LossKind::kMse:
    case ops::LossKind::kMae:
      break;
  }
  return {"mae", "r2"};
}

void choose_loss(const Run& run, Task& task) {
  const data::Field& target = *task.target;
  const Shape target_sample = target.seen();
  const bool each = target.classes > 0 && (task.tokens() || target_sample.rank() == 0);
  // An image of class numbers, whose number nobody has counted: a label for each pixel.
  const bool pixels = !task.tokens() && target_sample.rank() > 0 && target.transform.one_hot == 0 &&
                      !is_float(target.dtype) && run.model.outputs > 0 &&
                      run.model.loss == name_of(ops::LossKind::kSoftmaxCrossEntropy);
  const bool classes = each || pixels;
  if (!run.model.loss.empty()) {
    task.loss = ops::loss_from(run.model.loss);
  } else {
    task.loss = classes ? ops::LossKind::kSoftmaxCrossEntropy : ops::LossKind::kMse;
  }
  if (task.tokens() && !task.target_is_class())
    throw UserError(
        "model.loss = \"{}\" is for numbers, but {} is text, whose next token is a class; use "
        "\"softmax_cross_entropy\", or leave model.loss out",
        name_of(task.loss), run.data.path());
  if (task.target_is_class() && !classes)
    throw UserError(
        "model.loss = \"softmax_cross_entropy\" needs one class number per sample, but field "
        "'{}' is {} {}; use \"mse\" or another data.target{}",
        target.name, name_of(target.dtype), target_sample.text(),
        is_float(target.dtype) || target_sample.rank() == 0
            ? ""
            : ", or set model.outputs to the number of its classes");
  if (task.loss == ops::LossKind::kBinaryCrossEntropy) check_zero_to_one(*task.target);
  task.labels = task.tokens() ? task.sequence : pixels ? target_sample.elements() : 1;
  const std::int64_t natural =
      task.target_is_class() ? target.classes : target_sample.elements();
  task.outputs = run.model.outputs > 0 ? run.model.outputs : natural;
  if (task.outputs < natural || (!task.target_is_class() && task.outputs != natural))
    throw UserError("model.outputs = {}, but field '{}' needs {}", task.outputs, task.target->name,
                    natural);
  task.metrics = run.model.metrics.empty() ? usual_metrics(task) : run.model.metrics;
}

void check_monitor(const Run& run, const Task& task) {
  const std::string& monitor = run.train.monitor;
  if (monitor == "loss" ||
      std::find(task.metrics.begin(), task.metrics.end(), monitor) != task.metrics.end())
    return;
  throw UserError("train.monitor = \"{}\" is neither \"loss\" nor a metric of this run ({})",
                  monitor, fmt::join(task.metrics, ", "));
}

}  // namespace

std::string split_names(const data::Manifest& manifest) {
  std::vector<std::string> names;
  for (const data::Split& split : manifest.splits) names.push_back(split.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

const data::Split* validation_split(const Run& run, const data::Manifest& manifest) {
  const data::Split* split = run.data.val.empty() ? nullptr : manifest.find(run.data.val);
  if (split != nullptr && split->samples > 0) return split;
  if (run.train.patience > 0)
    throw UserError(
        "train.patience = {} needs a split to evaluate: {} has {}; name one in data.val, import "
        "with --val-fraction, or leave early stopping off",
        run.train.patience, manifest.name(), split_names(manifest));
  if (!run.data.val.empty() && run.data.val != DataSection().val)
    throw UserError("data.val = \"{}\": {} has no such split with samples; it has {}", run.data.val,
                    manifest.name(), split_names(manifest));
  return nullptr;
}

bool is_text(const data::Manifest& manifest) {
  for (const data::Split& split : manifest.splits) {
    for (const data::Field& field : split.fields) {
      if (field.sequence > 0) return true;
    }
  }
  return false;
}

Task make_task(const Run& run, const data::Manifest& manifest, const std::string& split) {
  const data::Split* found = manifest.find(split);
  if (found == nullptr || found->samples == 0) {
    throw UserError(
        "{} has no samples in a split '{}'; it has {}: name one with data.train, or --split of "
        "eval",
        manifest.name(), split, split_names(manifest));
  }
  Task task;
  task.input = &data::resolve_field(manifest, split, run.data.input, "input");
  task.target = &data::resolve_field(manifest, split, run.data.target, "target");
  if (task.input->sequence > 0) {
    if (task.target->sequence != task.input->sequence || task.target->shift != 1)
      throw UserError(
          "data.target = \"{}\" is not the text that data.input = \"{}\" goes on with; leave both "
          "out of the run file",
          task.target->name, task.input->name);
    task.sequence = task.input->sequence;
    task.vocabulary = task.input->classes;
  }
  task.sample = task.input->seen();
  choose_loss(run, task);
  ops::check_metrics(task.loss, ops::make_metrics(task.metrics));
  check_monitor(run, task);
  const std::int64_t parts = run.train.lanes * run.train.accumulate;
  task.microbatch = run.train.batch / parts;
  if (task.microbatch < 1 || run.train.batch % parts != 0) {
    const std::int64_t below = run.train.batch / parts * parts;
    throw UserError(
        "train.batch = {} does not divide into lanes * accumulate = {} * {}; the nearest that fit "
        "are {}{}",
        run.train.batch, run.train.lanes, run.train.accumulate,
        below > 0 ? fmt::format("{} and ", below) : "", below + parts);
  }
  return task;
}

void check_batch(const Run& run, const data::Manifest& manifest) {
  const data::Split* split = manifest.find(run.data.train);
  const std::int64_t parts = run.train.lanes * run.train.accumulate;
  if (run.train.batch > split->samples)
    throw UserError(
        "train.batch = {} is more than the {} samples of split '{}' of {}; set it to at most {}, a "
        "multiple of lanes * accumulate",
        run.train.batch, split->samples, split->name, manifest.name(),
        split->samples / parts * parts);
}

void check_split(const Task& task, const data::Manifest& manifest, const data::Split& split) {
  for (const auto& [known, role] : {std::pair{task.input, "input"}, {task.target, "target"}}) {
    const data::Field& field = data::resolve_field(manifest, split.name, known->name, role);
    if (field.seen() == known->seen()) continue;
    throw UserError(
        "{}: samples of dataset {} are {}, but the model was built for {} of {}; give the split "
        "the same shape, or name another one",
        manifest.name(), field.path, field.seen().text(), known->seen().text(), known->path);
  }
}

std::vector<nn::LayerSpec> make_layers(const Run& run, const Task& task) {
  if (run.model.layers.empty())
    return nn::make_preset(run.model.preset, task.sample, task.outputs);
  for (const nn::LayerSpec& layer : run.model.layers) {
    if (layer.kind == "embedding" && layer.vocabulary > 0 && layer.vocabulary < task.vocabulary)
      throw UserError(
          "an embedding has vocabulary = {}, but the tokens of {} go up to {}; leave it out, or "
          "use {} and more",
          layer.vocabulary, run.data.path(), task.vocabulary - 1, task.vocabulary);
  }
  return run.model.layers;
}

bool holds_parameters(const Run& run) {
  const parallel::Options& o = run.parallel.options;
  return o.kind == parallel::Kind::kSharded && o.stage == 3;
}

int program_streams(const Run& run) {
  const std::int64_t threads = run.run.threads, group = run.parallel.options.lane_group;
  if (!holds_parameters(run)) return static_cast<int>(threads);
  if (threads > 1)
    throw UserError(
        "run.threads = {} does not go with parallel.stage = 3, where a rank's lanes go through its "
        "layers together; start more ranks, or set parallel.lane_group",
        threads);
  return static_cast<int>(std::min(group, run.train.lanes));
}

parallel::Options parallel_options(const Run& run) {
  parallel::Options options = run.parallel.options;
  options.lanes = run.train.lanes;
  options.accumulate = run.train.accumulate;
  options.streams = program_streams(run);
  return options;
}

nn::ProgramOptions program_options(const Run& run, const Task& task, ops::Precision precision) {
  nn::ProgramOptions options;
  options.sample = task.sample.rank() == 0 ? Shape{1} : task.sample;
  options.microbatch = task.microbatch;
  options.outputs = task.outputs;
  options.loss = task.loss;
  options.metrics = ops::make_metrics(task.metrics);
  options.streams = program_streams(run);
  options.held = holds_parameters(run);
  // In rounds of lanes a gradient's memory is free when other ranks have read what was there.
  const parallel::Options& way = run.parallel.options;
  options.captured = way.kind != parallel::Kind::kSharded || way.stage == 1;
  options.tokens = task.tokens();
  options.labels = task.labels;
  options.precision = precision;
  options.recompute = run.train.recompute;
  return options;
}

data::LoaderOptions loader_options(const Run& run, const Task& task, const std::string& split) {
  data::LoaderOptions options;
  options.split = split;
  options.input = task.input->name;
  options.target = task.target->name;
  options.normalise = task.tokens() ? data::Normalise::kNone : run.data.normalise;
  options.input_is_tokens = task.tokens();
  options.vocabulary = task.vocabulary;
  options.target_is_class = task.target_is_class();
  options.labels = task.tokens() ? 1 : task.labels;
  options.classes = task.target_is_class() ? task.outputs : 0;
  options.seed = run.train.seed;
  options.batch = run.train.batch;
  options.lanes = run.train.lanes;
  options.microbatch = task.microbatch;
  options.accumulate = run.train.accumulate;
  options.shuffle = run.data.shuffle;
  options.window = run.data.window;
  options.check_finite = run.data.check_finite;
  options.threads = static_cast<int>(run.data.threads);
  options.computing = static_cast<int>(run.run.threads);
  options.cache = run.data.cache;
  options.on_error = run.data.on_error;
  options.max_skipped = run.data.max_skipped;
  return options;
}

}  // namespace lockstep::train
