#include "train/start_report.h"

#include <fmt/format.h>

#include <algorithm>

#include "lockstep/core/units.h"

namespace lockstep::train {
namespace {

std::string ranks_text(const comm::Communicator& communicator, std::int64_t threads) {
  const comm::Topology& topology = communicator.topology();
  return fmt::format("{} rank{} on {} node{}, {} thread{} each{}", topology.ranks(),
                     topology.ranks() == 1 ? "" : "s", topology.nodes(),
                     topology.nodes() == 1 ? "" : "s", threads, threads == 1 ? "" : "s",
                     communicator.has_progress_thread() ? " and one that moves messages" : "");
}

std::string data_text(const Run& run, const Model& model, const data::Split& train) {
  if (model.task.tokens())
    return fmt::format("{}: {} sequences of {} tokens, vocabulary {} ({})", run.data.path(),
                       train.samples, model.task.sequence, model.task.vocabulary,
                       model.tokenizer.kind);
  return fmt::format("{}: {} samples, {} -> {}", run.data.path(), train.samples,
                     model.task.input->name, model.task.target->name);
}

std::string precision_text(const nn::Program& program) {
  const nn::ProgramOptions& options = program.options();
  std::string text(name_of(options.precision));
  if (options.precision == ops::Precision::kBf16) text += ", sums and parameters in fp32";
  if (const auto layers = program.layers_left_in_fp32(); !layers.empty())
    text += fmt::format("; {} in fp32, where bf16 is slower", fmt::join(layers, ", "));
  if (options.recompute == nn::Recompute::kBlock) text += "; blocks are computed again in backward";
  return text;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> start_rows(const comm::Communicator& communicator,
                                                            const Run& run, const Session& session,
                                                            const std::string& device) {
  const Model& model = session.model;
  const data::Split* train = model.manifest.find(run.data.train);
  const optim::Options& o = session.optimizer_options;
  std::vector<std::pair<std::string, std::string>> rows{
      {"data", data_text(run, model, *train)},
      {"model",
       fmt::format("{}: {} parameters, {} flop a sample and step",
                   run.model.layers.empty() ? run.model.preset.preset : "own layers",
                   count_text(static_cast<double>(model.program.table().elements())),
                   count_text(model.program.flops() / static_cast<double>(model.task.microbatch)))},
      {"loss", std::string(name_of(model.task.loss))},
      {"precision", precision_text(model.program)},
      {"batch",
       fmt::format(
           "{} = {} lanes x {}{}", run.train.batch, run.train.lanes,
           run.train.accumulate > 1 ? fmt::format("{} accumulated x ", run.train.accumulate) : "",
           model.task.microbatch)},
      {"steps",
       fmt::format("{}, {} to the epoch", session.total_steps, session.loader->steps_per_epoch())},
      {"optimizer", fmt::format("{}, lr {}, {}{}", name_of(o.kind), o.lr, name_of(o.schedule),
                                o.clip > 0 ? fmt::format(", clipped at {}", o.clip) : "")},
      {"ranks", ranks_text(communicator, run.run.threads)},
  };
  for (auto& row : session.strategy->settings()) rows.push_back(std::move(row));
  rows.emplace_back("device", device);
  rows.emplace_back("checkpoints",
                    run.checkpoint.dir.empty()
                        ? "none (checkpoint.dir is not set)"
                        : fmt::format("{}, every {}", run.checkpoint.dir, run.checkpoint.every));
  return rows;
}

std::vector<LedgerRow> ledger_rows(const std::vector<nn::LedgerRow>& rows, bool apart) {
  std::vector<LedgerRow> out;
  for (const nn::LedgerRow& row : rows)
    out.push_back({row.name, row.bytes, row.note, apart && !row.on_host});
  // The host's last, next to its total.
  std::stable_partition(out.begin(), out.end(), [](const LedgerRow& row) { return row.on_device; });
  return out;
}

std::string program_text(const nn::Program& program) {
  std::string text = fmt::format("  {:<28} {:<16} {:<16} {:>12} {:>14}\n", "layer", "op", "output",
                                 "parameters", "Mflop a lane");
  for (const nn::OpRow& row : program.rows()) {
    text += fmt::format("  {:<28} {:<16} {:<16} {:>12} {:>14.2f}\n", row.layer, row.kind,
                        row.output.text(), row.parameters, row.flops * 1e-6);
  }
  return text;
}

}  // namespace lockstep::train
