#include "config/options.h"

#include <algorithm>

#include "config/section_tables.h"
#include "lockstep/core/error.h"
#include "lockstep/core/isa.h"
#include "lockstep/ops/loss.h"
#include "lockstep/ops/op.h"

namespace lockstep::config {
namespace {

// Of the presets that read tokens.
void add_token_model_keys(Table& t) {
  const Texts both{"gpt", "llama"};
  t.push_back(key("blocks", AT(model.preset.blocks), "Transformer blocks.")
                  .between(1, 10000)
                  .only("preset", both));
  t.push_back(key("embedding", AT(model.preset.embedding), "Width of a token's embedding.")
                  .at_least(1)
                  .only("preset", both));
  t.push_back(key("heads", AT(model.preset.heads), "Attention heads; they divide the embedding.")
                  .at_least(1)
                  .only("preset", both));
  t.push_back(key("kv_heads", AT(model.preset.kv_heads),
                  "Heads of keys and values, each shared by heads / kv_heads. 0: heads.")
                  .at_least(0)
                  .only("preset", {"llama"}));
  t.push_back(key("feed_forward", AT(model.preset.feed_forward),
                  "Hidden width of a block. 0: 4 x embedding (gpt), 8/3 x embedding up to a "
                  "multiple of 64 (llama).")
                  .at_least(0)
                  .only("preset", both));
  t.push_back(key("context", AT(model.preset.context),
                  "Rows of the position table: the longest sequence. 0: data.sequence (gpt), 1024 "
                  "(gpt2-124m).")
                  .at_least(0)
                  .only("preset", {"gpt", "gpt2-124m"}));
  t.push_back(key("rotary", AT(model.preset.rotary),
                  "Base of the rotation of queries and keys by position.")
                  .above(0)
                  .only("preset", {"llama"}));
  t.push_back(key("tied", AT(model.preset.tied), "The output layer shares the embedding's weight.")
                  .only("preset", both));
}

Table model_table() {
  using ops::Activation;
  Texts activations;
  for (const Activation a :
       {Activation::kRelu, Activation::kLeakyRelu, Activation::kGelu, Activation::kGeluTanh,
        Activation::kSilu, Activation::kTanh, Activation::kSigmoid}) {
    activations.emplace_back(ops::name_of(a));
  }
  Texts losses;
  for (const auto kind : {ops::LossKind::kSoftmaxCrossEntropy, ops::LossKind::kMse,
                          ops::LossKind::kMae, ops::LossKind::kBinaryCrossEntropy}) {
    losses.emplace_back(ops::name_of(kind));
  }
  Table t;
  t.push_back(key("preset", AT(model.preset.preset),
                  "A ready-made model; or describe one's own in [[model.layers]].")
                  .one_of(nn::preset_names()));
  t.push_back(key("hidden", AT(model.preset.hidden), "Widths of the hidden layers.")
                  .at_least(1)
                  .only("preset", {"mlp"}));
  t.push_back(key("activation", AT(model.preset.activation), "Between the hidden layers.")
                  .one_of(activations)
                  .not_empty()
                  .only("preset", {"mlp"}));
  t.push_back(
      key("dropout", AT(model.preset.dropout), "Probability that a hidden value is dropped.")
          .in({0, 1, false, true})
          .only("preset", {"mlp", "lenet", "gpt", "gpt2-124m", "llama", "cosmoflow"}));
  t.push_back(key("width", AT(model.preset.width), "Channels of the first stage.")
                  .at_least(1)
                  .only("preset", {"resnet20"}));
  add_token_model_keys(t);
  t.push_back(key("outputs", AT(model.outputs),
                  "Outputs of the model. 0: the target's classes, or its width.")
                  .at_least(0));
  t.push_back(
      key("loss", AT(model.loss), "Empty: softmax_cross_entropy for classes, mse for numbers.")
          .one_of(losses));
  t.push_back(key("metrics", AT(model.metrics),
                  "Any of accuracy, topK (top5), perplexity, mae, r2. Empty: by the loss.")
                  .checked([](const Value& v) { ops::make_metrics(std::get<Texts>(v)); }));
  return t;
}

Table train_table() {
  Table t;
  t.push_back(key("batch", AT(train.batch),
                  "Samples per step over all ranks; a multiple of lanes x accumulate.")
                  .at_least(1));
  t.push_back(key("lanes", AT(train.lanes),
                  "Independent streams that a step is cut into; at most this many ranks can work. "
                  "The numbers depend on it, and never on the ranks.")
                  .between(1, 65536));
  t.push_back(key("accumulate", AT(train.accumulate),
                  "Microbatches that a lane runs one after another per step.")
                  .between(1, 65536));
  t.push_back(key("epochs", AT(train.epochs), "Passes over the training split.").at_least(1));
  t.push_back(
      key("steps", AT(train.steps), "Stop after this many steps. 0: by epochs.").at_least(0));
  t.push_back(key("seed", AT(train.seed), "Every random number of the run follows from it."));
  t.push_back(choice<Run>("precision", AT(train.precision),
                          named({ops::Precision::kFp32, ops::Precision::kBf16}),
                          "Arithmetic of matrix products and convolutions; bf16: factors rounded, "
                          "sums and parameters in fp32."));
  t.push_back(choice<Run>("recompute", AT(train.recompute),
                          named({nn::Recompute::kNone, nn::Recompute::kBlock}),
                          "Activations that backward computes again to save memory: none, or all "
                          "inside a block. The numbers are the same."));
  t.push_back(key("evaluate_every", AT(train.evaluate_every),
                  "Epochs between evaluations of data.val. 0: only at the end.")
                  .at_least(0));
  t.push_back(key("patience", AT(train.patience),
                  "Early stopping: evaluations without improvement that end the run. 0: off.")
                  .at_least(0));
  t.push_back(key("min_delta", AT(train.min_delta), "Improvement that counts as one.").at_least(0));
  t.push_back(
      key("monitor", AT(train.monitor),
          "What early stopping and the best checkpoint go by: loss, or a metric of data.val.")
          .not_empty()
          .checked([](const Value& v) {
            const auto& name = std::get<std::string>(v);
            if (name != "loss") ops::make_metrics({name});
          }));
  add_policy_keys(t);
  return t;
}

Table optimizer_table() {
  using optim::Kind;
  using optim::Schedule;
  const Texts adaptive{"adam", "adamw", "lamb"};
  Table t;
  t.push_back(choice<Run>("kind", AT(optimizer.kind),
                          named({Kind::kSgd, Kind::kAdam, Kind::kAdamW, Kind::kLamb}),
                          "How gradients become new parameters."));
  t.push_back(key("lr", AT(optimizer.lr), "Learning rate, after warm-up.").at_least(0));
  t.push_back(key("momentum", AT(optimizer.momentum), "Part of the last direction that is kept.")
                  .in({0, 1, false, true})
                  .only("kind", {"sgd"}));
  t.push_back(key("nesterov", AT(optimizer.nesterov), "Nesterov's form of momentum.")
                  .only("kind", {"sgd"}));
  t.push_back(key("beta1", AT(optimizer.beta1), "Decay of the mean of gradients.")
                  .in({0, 1, false, true})
                  .only("kind", adaptive));
  t.push_back(key("beta2", AT(optimizer.beta2), "Decay of the mean of squared gradients.")
                  .in({0, 1, false, true})
                  .only("kind", adaptive));
  t.push_back(key("epsilon", AT(optimizer.epsilon), "Added to the root of that mean.")
                  .above(0)
                  .only("kind", adaptive));
  t.push_back(
      key("decay", AT(optimizer.decay),
          "Weight decay; biases and norms are spared. Decoupled for adamw and lamb, added to "
          "the gradient for sgd and adam.")
          .at_least(0));
  t.push_back(choice<Run>("schedule", AT(optimizer.schedule),
                          named({Schedule::kConstant, Schedule::kStep, Schedule::kLinear,
                                 Schedule::kCosine, Schedule::kInverseSqrt}),
                          "How the learning rate changes after warm-up."));
  t.push_back(key("warmup", AT(optimizer.warmup), "Steps over which the learning rate rises to lr.")
                  .at_least(0));
  t.push_back(
      key("step_every", AT(optimizer.step_every), "Steps between two falls of the learning rate.")
          .at_least(0)
          .only("schedule", {"step"}));
  t.push_back(key("step_factor", AT(optimizer.step_factor), "What each fall multiplies it by.")
                  .in({0, 1, true, false})
                  .only("schedule", {"step"}));
  t.push_back(
      key("min_lr", AT(optimizer.min_lr), "The learning rate never falls below it.").at_least(0));
  t.push_back(key("clip", AT(optimizer.clip),
                  "Largest global norm of the gradient; longer ones are scaled down. 0: off.")
                  .at_least(0));
  return t;
}

void check_device(const Value& value) {
  const auto& text = std::get<std::string>(value);
  if (text == "cpu" || text == "cuda") return;
  const std::string which = text.starts_with("cuda:") ? text.substr(5) : "";
  const bool number = !which.empty() && which.find_first_not_of("0123456789") == std::string::npos;
  if (number || ((which.starts_with("GPU-") || which.starts_with("MIG-")) && which.size() > 4))
    return;
  throw UserError(
      "run.device = \"{}\" is no device; use cpu, cuda, cuda:NUMBER, cuda:GPU-UUID or "
      "cuda:MIG-UUID",
      text);
}

// "2h" in the file, seconds in the run; `words` stand for numbers that are no durations.
template <class At>
Option<Run> duration_key(const std::string& name, At at, Words<double> words, std::string help) {
  Option<Run> o;
  o.name = name.substr(name.find('.') + 1);
  o.help = std::move(help);
  o.may_be_empty = false;
  const auto seconds = [name, words](const Value& v) {
    const auto& text = std::get<std::string>(v);
    const auto word = std::ranges::find(words, text, &std::pair<std::string, double>::first);
    return word != words.end() ? word->second : duration(name, text);
  };
  o.check = [seconds](const Value& v) { seconds(v); };
  o.set = [at, seconds](Run& run, const Value& v) { at(run) = seconds(v); };
  o.get = [at, words](const Run& run) -> Value {
    const auto word = std::ranges::find(words, at(run), &std::pair<std::string, double>::second);
    return word != words.end() ? word->first : duration_text(at(run));
  };
  return o;
}

Table run_table() {
  Texts isas{"auto"};
  for (const Isa isa : {Isa::kAvx512, Isa::kAvx2, Isa::kPlain}) isas.emplace_back(name_of(isa));
  Table t;
  t.push_back(key("threads", AT(run.threads), "Lanes that a rank runs at once.").between(1, 1024));
  t.push_back(key("isa", AT(run.isa), "Widest instruction set to use; auto: what the machine has.")
                  .one_of(isas)
                  .not_empty());
  t.push_back(key("device", AT(run.device),
                  "Where the arithmetic runs: cpu; cuda, on the GPU that is this rank's; or "
                  "cuda:NUMBER, cuda:GPU-UUID, cuda:MIG-UUID, on this one.")
                  .checked(check_device)
                  .not_empty());
  t.push_back(key("watchdog", AT(run.watchdog),
                  "Seconds after which a wait for another rank stops the run.")
                  .above(0));
  t.push_back(key("memory", AT(run.memory),
                  "Bytes that the ranks of a node may use together; a run whose ledger needs more "
                  "is refused. 0: the limit of the job's cgroup, or the machine's memory.")
                  .at_least(0));
  t.push_back(key("mixed", AT(run.mixed),
                  "Allow machines that differ; equal bits are then no longer promised."));
  t.push_back(duration_key("run.time_limit", AT(run.time_limit), {{"auto", -1}, {"off", 0}},
                           "When the run has to be over: a time from its start (2h); auto: when "
                           "its Slurm job ends; off. It stops before, with a checkpoint and exit "
                           "code 75."));
  t.push_back(duration_key("run.stop_before", AT(run.stop_before), {},
                           "How long before its time limit a run stops, at least: a checkpoint and "
                           "the steps between two looks at the clock must fit, as measured."));
  using comm::ProgressBy;
  t.push_back(choice<Run>(
      "progress", AT(run.progress),
      Words<ProgressBy>{
          {"auto", ProgressBy::kAuto}, {"on", ProgressBy::kThread}, {"off", ProgressBy::kCalls}},
      "A thread of each rank that moves messages while its lanes are computed; "
      "auto: with several nodes and a core to spare for each rank."));
  t.push_back(check_replicas_key());
  return t;
}

Table checkpoint_table() {
  Table t;
  t.push_back(
      key("dir", AT(checkpoint.dir), "Folder of the checkpoints and metrics.jsonl. Empty: none."));
  Option<Run> every =
      key("every", AT(checkpoint.every),
          "A time (30s, 10min, 2h), a number of steps or epochs (500steps, 1epoch), end, or auto: "
          "by what a checkpoint is measured to cost and checkpoint.mtbf.");
  every.may_be_empty = false;
  every.check = [](const Value& v) { checkpoint_interval(std::get<std::string>(v)); };
  every.set = [](Run& run, const Value& v) {
    run.checkpoint.every = checkpoint_interval(std::get<std::string>(v));
  };
  t.push_back(std::move(every));
  t.push_back(duration_key("checkpoint.mtbf", AT(checkpoint.mtbf), {},
                           "Mean time between failures of one node, which every = auto divides by "
                           "the number of nodes."));
  t.push_back(key("background", AT(checkpoint.background),
                  "Write checkpoints while steps go on, from a copy in memory that the ledger "
                  "counts; false: steps wait until a checkpoint is whole."));
  t.push_back(
      key("keep", AT(checkpoint.keep), "Newest checkpoints that are kept, besides the best.")
          .between(1, 1000000));
  return t;
}

Table log_table() {
  Table t;
  t.push_back(key("every", AT(log.every),
                  "Seconds between progress lines when the output is not a terminal.")
                  .above(0));
  t.push_back(key("window", AT(log.window), "Steps per line of metrics.jsonl.").at_least(1));
  t.push_back(
      key("events", AT(log.events),
          "Last events that are kept of each thread, in checkpoint.dir/events until the run "
          "ends well, for lockstep trace. 0: none.")
          .between(0, 1 << 24));
  t.push_back(key("mlperf", AT(log.mlperf),
                  "File that the lines which MLPerf's rules ask for are appended to (docs/"
                  "mlperf.md). Empty: none."));
  t.push_back(
      key("prometheus", AT(log.prometheus),
          "File with the run's figures for Prometheus (node exporter's textfile collector), "
          "written anew every log.every seconds. Empty: none."));
  return t;
}

Table plan_table() {
  Table t;
  t.push_back(key("machine", AT(plan.machine),
                  "Machine files, or names of known machines and networks, each laid over those "
                  "before it: what lockstep plan predicts times with. Empty: it predicts none.")
                  .or_one_text());
  return t;
}

}  // namespace

const Option<Run>* SectionTable::find(const std::string& key) const {
  const auto found = std::ranges::find(options, key, &Option<Run>::name);
  return found == options.end() ? nullptr : &*found;
}

std::string SectionTable::deciding_value(const Option<Run>& o, const Run& run) const {
  return std::get<std::string>(find(o.only_with)->get(run));
}

bool SectionTable::applies(const Option<Run>& o, const Run& run) const {
  return o.only_for.empty() || o.applies_to(deciding_value(o, run));
}

const std::vector<SectionTable>& sections() {
  static const std::vector<SectionTable> all{
      {"data", "Where the samples are.", data_table()},
      {"model", "What is trained.", model_table()},
      {"train", "How long, in what pieces, and when it is evaluated.", train_table()},
      {"optimizer", "How gradients become new parameters.", optimizer_table()},
      {"parallel", "How the ranks work together.", parallel_table()},
      {"assignment", "Which rank runs which lanes.", assignment_table()},
      {"precision", "How gradients are rounded.", precision_table()},
      {"run", "How a rank uses its machine.", run_table()},
      {"checkpoint", "What is saved, and when.", checkpoint_table()},
      {"log", "What is said, and how often.", log_table()},
      {"plan", "What a run is expected to take.", plan_table()}};
  return all;
}

const SectionTable* find_section(const std::string& name) {
  const auto found = std::ranges::find(sections(), name, &SectionTable::name);
  return found == sections().end() ? nullptr : &*found;
}

}  // namespace lockstep::config
