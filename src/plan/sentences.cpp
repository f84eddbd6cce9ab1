#include "plan/sentences.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <sstream>

#include "lockstep/core/units.h"
#include "plan/words.h"

namespace lockstep::plan {
namespace {

constexpr std::size_t kMostGains = 3;
constexpr std::size_t kColumns = 100;

std::string share_text(const char* what, double part, const Prediction& p) {
  return fmt::format("{}: {} of a step of {}", what, percent(part / p.step.total()),
                     seconds_text(p.step.total()));
}

// A number and its percent sign are one word.
constexpr char kTied = '\x1f';
std::string kept_together(std::string text) {
  for (std::size_t at = 0; (at = text.find(" %", at)) != std::string::npos;) text[at] = kTied;
  return text;
}

// The part of its compute time that the fullest rank works on more than an even share.
double uneven(const Prediction& p) {
  const auto ranks = static_cast<double>(p.layout.ranks), lanes = static_cast<double>(p.lanes);
  const double most = static_cast<double>((p.lanes + p.layout.ranks - 1) / p.layout.ranks);
  return most > 0 ? 1 - lanes / (ranks * most) : 0;
}

}  // namespace

std::string capitalised(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

double needed(const Prediction& prediction, const Machine& machine) {
  return machine.device.kind == "cpu" ? prediction.node_memory : prediction.rank_memory;
}

std::string memory_text(const Prediction& prediction, const Machine& machine) {
  const std::string bytes = bytes_text(needed(prediction, machine));
  if (machine.device.memory <= 0) return bytes + " of memory";
  return fmt::format("{} of a {}'s {}", bytes, machine.device.kind == "cpu" ? "node" : "device",
                     bytes_text(machine.device.memory));
}

std::string largest_row_text(const Prediction& prediction) {
  const auto& rows = prediction.memory;
  const auto largest = std::max_element(
      rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
  if (largest == rows.end()) return {};
  return fmt::format("The largest part: {}, {}.", largest->name,
                     bytes_text(static_cast<double>(largest->bytes)));
}

std::string data_text(const Job& job) {
  const std::string samples = grouped(job.data.samples);
  if (job.sequence > 0)
    return fmt::format("{} samples of {} tokens, {}", samples, job.sequence,
                       bytes_text(job.data.total_bytes));
  return fmt::format("{} samples of {} numbers, {}", samples, grouped(job.data.values),
                     bytes_text(job.data.total_bytes));
}

std::string size_text(const Job& job, const Machine& machine, const Prediction& prediction) {
  const double step = prediction.step.total();
  std::string data = data_text(job);
  const double decoded = job.data.samples * job.data.decoded_bytes;
  if (machine.device.kind == "cpu" && machine.device.memory > 0 && decoded > 0)
    data += decoded + prediction.node_memory <= machine.device.memory
                ? " that would fit in memory"
                : fmt::format(", unpacked {} and more than fits in memory", bytes_text(decoded));
  return fmt::format("It has {} parameters and {}; an epoch is {} steps of {}, {}.",
                     count_text(static_cast<double>(job.parameters)), data,
                     grouped(static_cast<double>(job.steps_per_epoch)), seconds_text(step),
                     seconds_text(step * static_cast<double>(job.steps_per_epoch)));
}

std::string gains_text(const Gains& gains) {
  std::vector<std::string> parts;
  for (const Gain& gain : gains.found) {
    if (parts.size() == kMostGains) break;
    parts.push_back(fmt::format("{} ({} the samples/s{}{})", gain.text, times_text(gain.ratio),
                                gain.caveat.empty() ? "" : "; ", gain.caveat));
  }
  if (!parts.empty()) return "What would help: " + joined(parts) + ".";
  if (gains.tried.empty()) return {};
  return fmt::format("Tried without a gain of {}: {}.", percent(kLeastGain - 1),
                     joined(gains.tried));
}

std::string bottleneck_phrase(const Job& job, const Prediction& p) {
  const Phases& step = p.step;
  const double work = step.compute + step.fold;
  switch (p.bottleneck) {
    case Bottleneck::kCompute:
      return share_text("arithmetic is the bottleneck", step.compute, p);
    case Bottleneck::kMemoryBandwidth:
      return share_text("memory bandwidth is the bottleneck; ops that wait for it", step.compute,
                        p);
    case Bottleneck::kOverhead:
      return fmt::format("{}, for {} ops on microbatches of {}",
                         share_text("starting ops is the bottleneck", step.compute, p),
                         job.ops.size(), job.microbatch);
    case Bottleneck::kFold:
      return fmt::format("{}, for {} lanes of {} parameters",
                         share_text("adding gradients is the bottleneck", step.fold, p), p.lanes,
                         count_text(static_cast<double>(job.parameters)));
    case Bottleneck::kNetwork:
      return fmt::format("{}; a rank sends {} a step",
                         share_text("waiting for other ranks is the bottleneck", step.exposed, p),
                         bytes_text(p.bytes_sent));
    case Bottleneck::kData:
      return fmt::format("{}; a step reads {}",
                         share_text("waiting for samples is the bottleneck", step.data, p),
                         bytes_text(static_cast<double>(p.batch) * job.data.stored_bytes));
    case Bottleneck::kBalance:
      return fmt::format("{}, because {} lanes on {} ranks leave some with {} and others with {}",
                         share_text("uneven lanes are the bottleneck", uneven(p) * work, p),
                         p.lanes, p.layout.ranks, (p.lanes + p.layout.ranks - 1) / p.layout.ranks,
                         p.lanes / p.layout.ranks);
  }
  return {};
}

std::string advice_text(const Advice& advice) {
  std::string text;
  for (const std::string& sentence : advice.sentences) {
    std::size_t column = 0;
    std::istringstream words(kept_together(sentence));
    for (std::string word; words >> word;) {
      std::replace(word.begin(), word.end(), kTied, ' ');
      if (column > 0 && column + 1 + word.size() > kColumns)
        text += "\n  ", column = 2;
      else if (column > 0)
        text += ' ', ++column;
      text += word;
      column += word.size();
    }
    text += '\n';
  }
  return text;
}

std::string bottleneck_text(const Job& job, const Prediction& prediction) {
  return capitalised(bottleneck_phrase(job, prediction)) + ".";
}

}  // namespace lockstep::plan
