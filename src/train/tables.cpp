#include "lockstep/train/tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <sstream>

#include "lockstep/core/memory.h"
#include "lockstep/core/units.h"

namespace lockstep::train {
namespace {

struct Spread {
  double min = 0, mean = 0, max = 0;
};

template <class Field>
Spread spread_of(std::span<const RankTimes> ranks, Field field) {
  Spread s{static_cast<double>(ranks.front().*field), 0, 0};
  for (const RankTimes& r : ranks) {
    const auto value = static_cast<double>(r.*field);
    s.min = std::min(s.min, value);
    s.max = std::max(s.max, value);
    s.mean += value / static_cast<double>(ranks.size());
  }
  return s;
}

std::string summary_row(const char* name, const Spread& s, std::string (*form)(double), double of) {
  return fmt::format("  {:<26} {:>12} {:>12} {:>12}", name, form(s.min), form(s.mean),
                     form(s.max)) +
         (of > 0 ? fmt::format(" {:>6.1f} %\n", 100 * s.mean / of) : "\n");
}

std::string whole_text(double number) { return fmt::format("{:.0f}", number); }

}  // namespace

std::string settings_text(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::size_t width = 0;
  for (const auto& row : rows) width = std::max(width, row.first.size());
  std::string text;
  for (const auto& [name, value] : rows) {
    std::istringstream lines(value);
    std::string line, label = name;
    if (!std::getline(lines, line)) line.assign(1, '-');
    do {
      text += fmt::format("  {:<{}}  {}\n", label, width, line);
      label.clear();
    } while (std::getline(lines, line));
  }
  return text;
}

std::uint64_t total_bytes(const std::vector<LedgerRow>& rows, bool on_device) {
  return std::accumulate(rows.begin(), rows.end(), std::uint64_t{0},
                         [on_device](std::uint64_t sum, const LedgerRow& row) {
                           return row.on_device == on_device ? sum + row.bytes : sum;
                         });
}

std::string ledger_text(const std::vector<LedgerRow>& rows, std::uint64_t node_bytes,
                        int node_ranks) {
  std::vector<LedgerRow> all = rows;
  if (const std::uint64_t bytes = total_bytes(rows, true); bytes > 0)
    all.push_back({"total on the GPU", bytes, "without CUDA's own; host memory is counted apart"});
  all.push_back({"total per rank", total_bytes(rows), ""});
  all.push_back({"total per node", node_bytes,
                 fmt::format("{} {}", node_ranks, node_ranks == 1 ? "rank" : "ranks")});
  std::size_t width = 0;
  for (const LedgerRow& row : all) width = std::max(width, row.name.size());
  std::string text;
  for (const LedgerRow& row : all) {
    std::string line = fmt::format("  {:<{}}  {:>12}  {}", row.name, width,
                                   bytes_text(static_cast<double>(row.bytes)), row.note);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::uint64_t node_total(comm::Communicator& communicator, std::uint64_t mine) {
  const comm::Topology& topology = communicator.topology();
  const std::vector<std::byte> all = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  std::uint64_t total = 0;
  for (int p = topology.node_begin[topology.node()]; p < topology.node_begin[topology.node() + 1];
       ++p) {
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, all.data() + sizeof(bytes) * p, sizeof(bytes));
    total += bytes;
  }
  return total;
}

void fill_memory(RankTimes& times) {
  times.peak_memory = peak_resident_memory();
  times.shared_memory = proportional_memory();
}

std::vector<RankTimes> gather_times(comm::Communicator& communicator, const RankTimes& mine) {
  const std::vector<std::byte> all = communicator.gather_all(std::as_bytes(std::span(&mine, 1)));
  std::vector<RankTimes> ranks(all.size() / sizeof(RankTimes));
  std::memcpy(ranks.data(), all.data(), all.size());
  return ranks;
}

std::string summary_text(std::span<const RankTimes> ranks, std::int64_t sequence) {
  const Spread total = spread_of(ranks, &RankTimes::total);
  std::string text = fmt::format("  {:<26} {:>12} {:>12} {:>12} {:>8}\n", "time per rank", "min",
                                 "mean", "max", "share");
  const auto time = [&](const char* name, double RankTimes::*field) {
    text += summary_row(name, spread_of(ranks, field), seconds_text, total.mean);
  };
  time("compute", &RankTimes::compute);
  time("waiting for data", &RankTimes::data);
  time("waiting for ranks", &RankTimes::exposed);
  time("folding", &RankTimes::fold);
  time("other", &RankTimes::other);
  time("total", &RankTimes::total);
  text +=
      summary_row("communication hidden", spread_of(ranks, &RankTimes::hidden), seconds_text, 0);
  text += summary_row("samples computed", spread_of(ranks, &RankTimes::samples), whole_text, 0);
  text += summary_row("bytes in messages", spread_of(ranks, &RankTimes::bytes_sent), whole_text, 0);
  text +=
      summary_row("bytes read from peers", spread_of(ranks, &RankTimes::bytes_read), whole_text, 0);
  text += summary_row("data read from files", spread_of(ranks, &RankTimes::bytes_loaded), bytes_text,
                      0);
  if (const Spread cached = spread_of(ranks, &RankTimes::bytes_cached); cached.max > 0)
    text += summary_row("data read from the cache", cached, bytes_text, 0);
  text += summary_row("peak memory (resident)", spread_of(ranks, &RankTimes::peak_memory),
                      bytes_text, 0);
  text += summary_row("memory now (shared / ranks)", spread_of(ranks, &RankTimes::shared_memory),
                      bytes_text, 0);

  double samples = 0, flops = 0, peak = 0;
  for (const RankTimes& r : ranks) {
    samples += static_cast<double>(r.samples);
    flops += r.flops;
    peak += r.fma_peak;
  }
  if (total.max > 0) {
    const double rate = samples / total.max;
    text += fmt::format("  {:.{}f} samples/s, ", rate, rate < 10 ? 2 : 0);
    if (sequence > 0)
      text += fmt::format("{:.0f} tokens/s, ", rate * static_cast<double>(sequence));
    text += fmt::format("{:.1f} GFLOP/s", flops / total.max / 1e9);
    if (peak > 0) {
      text += fmt::format(", {:.1f} % of the measured FMA peak ({:.1f} GFLOP/s)",
                          100 * flops / total.max / peak, peak / 1e9);
    }
    text += "\n";
  }
  return text;
}

}  // namespace lockstep::train
