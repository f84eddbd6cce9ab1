#include "plan/changes.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "lockstep/core/error.h"
#include "plan/words.h"

namespace lockstep::plan {
namespace {

constexpr const char* kLearnsDifferently = "it learns differently: the learning rate goes with it";

// By how much a network, files or threads are taken to be better, where that is looked at.
constexpr double kBetter = 4;

class Search {
 public:
  Search(const Question& question, const Choice& choice) : question_(question), choice_(choice) {}

  void key(const std::vector<std::string>& overrides, const std::string& caveat = {}) {
    const std::optional<Job> job = remade(question_, overrides);
    if (!job) return;
    const Question changed{*job, question_.machine, question_.options};
    look(fmt::format("{}", fmt::join(overrides, " ")), caveat, changed, choice_.layout,
         choice_.parallel);
  }
  void machine(const std::string& text, const std::function<void(Machine&)>& change) {
    Machine better = question_.machine;
    change(better);
    const Question changed{question_.job, better, question_.options};
    look(text, {}, changed, choice_.layout, choice_.parallel);
  }
  void layout(const std::string& text, const Layout& layout) {
    look(text, {}, question_, layout, choice_.parallel);
  }
  void strategy(const parallel::Options& options) {
    look("parallel.strategy: " + strategy_text(options), {}, question_, choice_.layout, options);
  }
  Gains result() {
    std::stable_sort(gains_.found.begin(), gains_.found.end(),
                     [](const Gain& a, const Gain& b) { return a.ratio > b.ratio; });
    return std::move(gains_);
  }

 private:
  void look(const std::string& text, const std::string& caveat, const Question& changed,
            const Layout& layout, const parallel::Options& options) {
    const std::optional<Choice> choice = predicted(changed, layout, options);
    if (!choice || !choice->prediction.fits) return;
    gains_.tried.push_back(text);
    const double ratio =
        choice->prediction.samples_per_second / choice_.prediction.samples_per_second;
    if (ratio >= kLeastGain) gains_.found.push_back({text, caveat, ratio});
  }

  const Question& question_;
  const Choice& choice_;
  Gains gains_;
};

std::string key_text(const char* key, std::int64_t value) {
  return fmt::format("{}={}", key, value);
}

// Fewer lanes with the same batch: larger microbatches and fewer leaves to add.
void fewer_lanes(Search& search, const Job& job, const Choice& choice) {
  for (std::int64_t lanes = choice.layout.ranks; lanes < job.lanes; lanes *= 2) {
    if (job.lanes % lanes != 0) continue;
    search.key({key_text("train.lanes", lanes)},
               fmt::format("other bits, and no more than {} rank{}", lanes, lanes == 1 ? "" : "s"));
    return;
  }
}

void larger_batch(Search& search, const Job& job) {
  search.key({key_text("train.batch", 2 * job.batch)}, kLearnsDifferently);
}

void network(Search& search, const Question& question, const Choice& choice) {
  const Job& job = question.job;
  search.key({"precision.leaf=bf16"}, "gradients rounded once");
  search.key(
      {key_text("train.batch", 2 * job.batch), key_text("train.accumulate", 2 * job.accumulate)},
      kLearnsDifferently);
  if (choice.parallel.kind == parallel::Kind::kReplicated ||
      choice.parallel.kind == parallel::Kind::kSharded) {
    parallel::Options other = choice.parallel;
    other.kind = parallel::Kind::kReplicated;
    if (choice.parallel.kind != other.kind) search.strategy(other);
    other.kind = parallel::Kind::kSharded;
    for (other.stage = 1; other.stage <= 2; ++other.stage) search.strategy(other);
  }
  if (question.machine.levels.empty() || choice.layout.ranks == 1) return;
  const bool between = choice.layout.nodes() > 1 && question.machine.levels.size() > 1;
  const std::size_t level = between ? question.machine.levels.size() - 1 : 0;
  const std::string what = between ? "a network" : "links within the node";
  search.machine(fmt::format("{} of {:.0f} times the bandwidth", what, kBetter), [&](Machine& m) {
    m.levels[level].bandwidth *= kBetter, m.levels[level].unit_bandwidth *= kBetter;
  });
  search.machine(fmt::format("{} of a {:.0f}th of the latency", what, kBetter), [&](Machine& m) {
    Level& l = m.levels[level];
    l.latency /= kBetter, l.overhead /= kBetter, l.gap /= kBetter;
  });
}

void data(Search& search, const Job& job, const Machine& machine) {
  search.key({"data.cache=memory"});
  const std::int64_t cores = std::max<std::int64_t>(1, machine.device.per_node);
  for (std::int64_t threads = 2;
       threads <= (machine.device.kind == "cpu" ? std::min<std::int64_t>(8, cores) : 8);
       threads *= 2)
    search.key({key_text("data.threads", threads)});
  if (machine.files.read > 0)
    search.machine(fmt::format("files read {:.0f} times as quickly", kBetter),
                   [](Machine& m) { m.files.read *= kBetter, m.files.total_read *= kBetter; });
}

// Ranks that share the lanes evenly, and lanes that the ranks share evenly.
void balance(Search& search, const Job& job, const Machine& machine, const Choice& choice) {
  const std::int64_t ranks = choice.layout.ranks;
  for (std::int64_t count = ranks + 1; count <= std::min(job.lanes, 2 * ranks); ++count) {
    if (job.lanes % count != 0) continue;
    search.layout(fmt::format("{} ranks", count), layout_of(job, machine, count));
    break;
  }
  for (std::int64_t lanes = (job.lanes / ranks + 1) * ranks; lanes <= 4 * job.lanes;
       lanes += ranks) {
    if (job.batch % (lanes * job.accumulate) != 0) continue;
    search.key({key_text("train.lanes", lanes)}, "other bits");
    break;
  }
}

// As many ranks on twice the nodes: each has more of its node's memory bandwidth.
void spread(Search& search, const Machine& machine, const Choice& choice) {
  const Layout& layout = choice.layout;
  if (machine.levels.size() < 2 || layout.ranks_per_node < 2) return;
  const Layout wide{layout.ranks, (layout.ranks_per_node + 1) / 2};
  search.layout(
      fmt::format("{} ranks on a node instead of {}", wide.ranks_per_node, layout.ranks_per_node),
      wide);
}

bool recomputes(const Job& job) {
  return std::any_of(job.ops.begin(), job.ops.end(), [](const JobOp& op) { return op.again; });
}

}  // namespace

std::optional<Job> remade(const Question& question, const std::vector<std::string>& overrides) {
  if (!question.options.remade) return std::nullopt;
  try {
    return question.options.remade(overrides);
  } catch (const Error&) {
    return std::nullopt;
  }
}

Gains gains(const Question& question, const Choice& choice) {
  Search search(question, choice);
  const Job& job = question.job;
  const Machine& machine = question.machine;
  if (job.precision == "fp32" && machine.device.bf16 > machine.device.fp32)
    search.key({"train.precision=bf16"}, "factors rounded");
  switch (choice.prediction.bottleneck) {
    case Bottleneck::kCompute:
      if (recomputes(job)) search.key({"train.recompute=none"});
      fewer_lanes(search, job, choice);
      break;
    case Bottleneck::kMemoryBandwidth:
      fewer_lanes(search, job, choice);
      spread(search, machine, choice);
      larger_batch(search, job);
      break;
    case Bottleneck::kOverhead:
      fewer_lanes(search, job, choice);
      larger_batch(search, job);
      break;
    case Bottleneck::kFold:
      fewer_lanes(search, job, choice);
      search.key({"precision.leaf=bf16"}, "gradients rounded once");
      larger_batch(search, job);
      break;
    case Bottleneck::kNetwork:
      network(search, question, choice);
      break;
    case Bottleneck::kData:
      data(search, job, machine);
      break;
    case Bottleneck::kBalance:
      balance(search, job, machine, choice);
      break;
  }
  return search.result();
}

std::vector<Fit> what_would_fit(const Question& question) {
  constexpr std::size_t kMost = 2;
  std::vector<Fit> found;
  const Job& job = question.job;
  const auto keep = [&](const std::string& text, const Question& changed) {
    if (found.size() == kMost) return;
    const std::vector<Choice> all = choices(changed);
    if (const Choice* choice = smallest_fitting(all)) found.push_back({text, *choice});
  };
  const auto key = [&](const std::vector<std::string>& overrides) {
    if (const std::optional<Job> changed = remade(question, overrides))
      keep(fmt::format("{}", fmt::join(overrides, " ")),
           {*changed, question.machine, question.options});
  };
  const std::string accumulate = key_text("train.accumulate", 4 * job.accumulate);
  if (!recomputes(job)) key({"train.recompute=block"});
  key({accumulate});
  if (!recomputes(job)) key({"train.recompute=block", accumulate});
  for (std::int64_t times = 2; times <= 64 && found.size() < kMost; times *= 4)
    key({key_text("train.lanes", times * job.lanes)});
  if (found.size() < kMost && question.machine.levels.size() > 1) {
    // One rank has its node for itself.
    for (std::int64_t ranks = 1; ranks <= job.lanes; ranks *= 2) {
      const std::optional<Choice> alone = chosen(question, {ranks, 1});
      if (!alone || !alone->prediction.fits) continue;
      found.push_back({"one rank on a node", *alone});
      break;
    }
  }
  return found;
}

}  // namespace lockstep::plan
