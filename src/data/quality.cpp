#include "lockstep/data/quality.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "elements.h"
#include "lockstep/core/error.h"
#include "row_source.h"
#include "sample_hashes.h"

namespace lockstep::data {
namespace {

constexpr std::int64_t kBlockBytes = 4 << 20;
constexpr std::int64_t kMostClasses = 1 << 20;  // more are no classes
// Of larger samples only the whole field is told to be constant or not.
constexpr std::int64_t kMostElements = 1 << 16;
constexpr int kMostNamed = 8;

constexpr std::int64_t kNowhere = INT64_MAX;

// What one field of a split has; of all ranks after share().
struct FieldFacts {
  std::int64_t missing = 0, infinite = 0, first_bad = kNowhere;
  std::vector<std::uint8_t> varies;   // by element of a sample: not as in sample 0
  std::vector<std::int64_t> classes;  // samples of each
};

struct SplitFacts {
  std::vector<FieldFacts> fields;
};

bool is_stream(const Field& field) { return field.role == "tokens"; }

class Reader {  // of the samples [begin, end) of a split
 public:
  Reader(const Manifest& manifest, const Split& split, std::int64_t split_index)
      : split_(split),
        split_index_(split_index),
        facts_{std::vector<FieldFacts>(split.fields.size())} {
    std::int64_t sample = 0;
    for (const Field& field : split.fields) {
      rows_.push_back(open_rows(manifest, split, field));
      sample = std::max(sample, static_cast<std::int64_t>(field.sample_bytes()));
    }
    kept_.resize(rows_.size());
    buffers_.resize(rows_.size());
    block_ = std::max<std::int64_t>(kBlockBytes / std::max<std::int64_t>(sample, 1), 1);
    read_first();
  }

  void read(std::int64_t begin, std::int64_t end, std::vector<SampleHash>& hashes) {
    const bool hashed = !is_stream(split_.fields.front());
    std::vector<Hash128> parts(split_.fields.size());
    for (std::int64_t first = begin; first < end; first += block_) {
      const std::int64_t count = std::min(block_, end - first);
      for (std::size_t f = 0; f < rows_.size(); ++f) read_field(f, first, count);
      for (std::int64_t i = 0; hashed && i < count; ++i) {
        for (std::size_t f = 0; f < rows_.size(); ++f) {
          const std::size_t bytes = split_.fields[f].sample_bytes();
          parts[f] = hash_bytes(buffers_[f].data() + static_cast<std::size_t>(i) * bytes, bytes);
        }
        hashes.push_back(
            {hash_bytes(parts.data(), parts.size() * sizeof(Hash128)), split_index_, first + i});
      }
    }
  }

  SplitFacts& facts() { return facts_; }

 private:
  // What all others are compared with, on every rank.
  void read_first() {
    for (std::size_t f = 0; f < rows_.size(); ++f) {
      const Field& field = split_.fields[f];
      std::vector<std::byte> sample(field.sample_bytes());
      if (field.count > 0) rows_[f]->read(0, 1, sample.data(), kept_[f]);
      first_.push_back(std::move(sample));
      const std::int64_t elements = field.sample.elements();
      facts_.fields[f].varies.assign(
          static_cast<std::size_t>(elements <= kMostElements ? elements : 1), 0);
      if (!is_float(field.dtype) && elements == 1 && field.classes > 0 &&
          field.classes <= kMostClasses)
        facts_.fields[f].classes.assign(static_cast<std::size_t>(field.classes), 0);
    }
  }

  void read_field(std::size_t f, std::int64_t first, std::int64_t count) {
    const Field& field = split_.fields[f];
    const std::size_t bytes = field.sample_bytes();
    std::vector<std::byte>& rows = buffers_[f];
    rows.resize(static_cast<std::size_t>(count) * bytes);
    rows_[f]->read(first, count, rows.data(), kept_[f]);
    if (is_float(field.dtype)) count_bad(field, first, count, rows.data(), facts_.fields[f]);
    if (!facts_.fields[f].classes.empty())
      count_classes(field, count, rows.data(), facts_.fields[f].classes);
    std::vector<std::uint8_t>& varies = facts_.fields[f].varies;
    const std::size_t part = bytes / varies.size();
    for (std::int64_t i = 0; i < count; ++i) {
      const std::byte* row = rows.data() + static_cast<std::size_t>(i) * bytes;
      if (std::memcmp(row, first_[f].data(), bytes) == 0) continue;
      for (std::size_t e = 0; e < varies.size(); ++e)
        varies[e] |= std::memcmp(row + e * part, first_[f].data() + e * part, part) != 0;
    }
  }

  void count_bad(const Field& field, std::int64_t first, std::int64_t count, const std::byte* rows,
                 FieldFacts& facts) {
    const std::int64_t elements = field.sample.elements(), all = count * elements;
    const std::int64_t bad = first_not_finite(field.dtype, rows, all);
    if (bad == all) return;
    facts.first_bad = std::min(facts.first_bad, first + bad / elements);
    values_.resize(static_cast<std::size_t>(all));
    to_doubles(field.dtype, rows, all, values_.data());
    for (const double value : values_) {
      if (std::isfinite(value)) continue;
      ++(std::isnan(value) ? facts.missing : facts.infinite);
    }
  }

  void count_classes(const Field& field, std::int64_t count, const std::byte* rows,
                     std::vector<std::int64_t>& classes) {
    values_.resize(static_cast<std::size_t>(count));
    to_doubles(field.dtype, rows, count, values_.data());
    for (const double value : values_)
      if (value >= 0 && value < static_cast<double>(classes.size()))
        ++classes[static_cast<std::size_t>(value)];
  }

  const Split& split_;
  std::int64_t split_index_;
  std::vector<std::unique_ptr<const RowSource>> rows_;
  std::vector<KeptUnit> kept_;
  std::vector<std::vector<std::byte>> buffers_, first_;
  std::vector<double> values_;
  std::int64_t block_ = 1;
  SplitFacts facts_;
};

// Adds up over the ranks, each of which has its samples' part.
void share(comm::Communicator& communicator, FieldFacts& facts) {
  const auto sum = [&](std::vector<std::int64_t>& numbers) {
    const std::size_t n = numbers.size();
    const auto bytes = communicator.gather_all(std::as_bytes(std::span(numbers)));
    std::fill(numbers.begin(), numbers.end(), 0);
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::int64_t)) {
      std::int64_t value;
      std::memcpy(&value, bytes.data() + at, sizeof value);
      numbers[at / sizeof value % n] += value;
    }
  };
  std::vector<std::int64_t> counts{facts.missing, facts.infinite};
  sum(counts);
  facts.missing = counts[0], facts.infinite = counts[1];
  facts.first_bad = communicator.min(facts.first_bad);
  if (!facts.classes.empty()) sum(facts.classes);
  const auto varies = communicator.gather_all(std::as_bytes(std::span(facts.varies)));
  for (std::size_t i = 0; i < varies.size(); ++i)
    facts.varies[i % facts.varies.size()] |= static_cast<std::uint8_t>(varies[i]);
}

class Report {
 public:
  void add(const std::string& split, const std::string& field, const std::string& finding) {
    rows_.push_back({split, field, finding});
  }
  bool empty() const { return rows_.empty(); }
  std::string text() const {
    std::size_t width[2] = {5, 5};
    for (const Row& row : rows_) {
      width[0] = std::max(width[0], row.split.size());
      width[1] = std::max(width[1], row.field.size());
    }
    std::string text =
        fmt::format("{:<{}}  {:<{}}  finding\n", "split", width[0], "field", width[1]);
    for (const Row& row : rows_)
      text += fmt::format("{:<{}}  {:<{}}  {}\n", row.split, width[0], row.field, width[1],
                          row.finding);
    return text;
  }

 private:
  struct Row {
    std::string split, field, finding;
  };
  std::vector<Row> rows_;
};

void report_values(const Split& split, const Field& field, const FieldFacts& facts,
                   Report& report) {
  if (facts.missing > 0)
    report.add(split.name, field.name,
               fmt::format("{} values are missing (NaN), the first in sample {}", facts.missing,
                           facts.first_bad));
  if (facts.infinite > 0)
    report.add(
        split.name, field.name,
        fmt::format("{} values are infinite, the first value that is not finite is in sample "
                    "{}",
                    facts.infinite, facts.first_bad));
  if (field.count < 2) return;
  const auto constant = std::count(facts.varies.begin(), facts.varies.end(), 0);
  if (constant == std::ssize(facts.varies)) {
    report.add(split.name, field.name, "constant: all samples are the same");
  } else if (constant > 0) {
    std::string named;
    int left = kMostNamed;
    for (std::size_t e = 0; e < facts.varies.size(); ++e)
      if (facts.varies[e] == 0 && left-- > 0) named += fmt::format(" {}", e);
    report.add(split.name, field.name,
               fmt::format("{} of {} elements are constant:{}{}", constant, facts.varies.size(),
                           named, left < 0 ? " ..." : ""));
  }
}

void report_classes(const Split& split, const Field& field, const FieldFacts& facts, double rare,
                    Report& report) {
  std::int64_t few = 0;
  std::string named;
  for (std::size_t c = 0; c < facts.classes.size(); ++c) {
    const double share = static_cast<double>(facts.classes[c]) /
                         static_cast<double>(std::max<std::int64_t>(split.samples, 1));
    if (share >= rare) continue;
    if (++few <= kMostNamed)
      named +=
          fmt::format("{}{} ({}, {:.3g} %)", few > 1 ? ", " : "", c, facts.classes[c], 100 * share);
  }
  if (few > 0)
    report.add(
        split.name, field.name,
        fmt::format("{} of {} classes have less than {:g} % of the samples: {}{}", few,
                    facts.classes.size(), 100 * rare, named, few > kMostNamed ? " ..." : ""));
}

void report_repeats(const Manifest& manifest, const Repeats& repeats, Report& report) {
  const std::string& split = manifest.splits[static_cast<std::size_t>(repeats.split)].name;
  const std::string& first = manifest.splits[static_cast<std::size_t>(repeats.first_split)].name;
  std::string named;
  for (const Repeat& r : repeats.examples)
    named += fmt::format("{}{} = {}", named.empty() ? "" : ", ", r.row, r.first_row);
  const bool within = repeats.split == repeats.first_split;
  report.add(
      split, "all fields",
      within ? fmt::format("{} samples are duplicates of earlier ones: {}", repeats.count, named)
             : fmt::format("{} samples are in split {} too: {}", repeats.count, first, named));
}

// The field whose classes are asked about: the target, where there is one.
const Field* target_of(const Manifest& manifest, const Split& split) {
  try {
    return &resolve_field(manifest, split.name, "", "target");
  } catch (const UserError&) {
    return nullptr;
  }
}

}  // namespace

Quality check_quality(comm::Communicator& communicator, const Manifest& manifest,
                      const QualityOptions& options) {
  const std::int64_t rank = communicator.topology().position, ranks = communicator.size();
  std::vector<SplitFacts> facts;
  std::vector<SampleHash> hashes;
  communicator.together([&] {
    for (std::size_t s = 0; s < manifest.splits.size(); ++s) {
      const Split& split = manifest.splits[s];
      Reader reader(manifest, split, static_cast<std::int64_t>(s));
      reader.read(split.samples * rank / ranks, split.samples * (rank + 1) / ranks, hashes);
      facts.push_back(std::move(reader.facts()));
    }
  });
  Report report;
  for (std::size_t s = 0; s < manifest.splits.size(); ++s) {
    const Split& split = manifest.splits[s];
    const Field* target = target_of(manifest, split);
    for (std::size_t f = 0; f < split.fields.size(); ++f) {
      const Field& field = split.fields[f];
      share(communicator, facts[s].fields[f]);
      report_values(split, field, facts[s].fields[f], report);
      if (s == 0 && &field == target && !is_stream(field))
        report_classes(split, field, facts[s].fields[f], options.rare_class, report);
    }
  }
  for (const Repeats& repeats : find_repeats(communicator, std::move(hashes)))
    report_repeats(manifest, repeats, report);
  if (report.empty()) return {fmt::format("{}: nothing was found", manifest.name()), true};
  return {fmt::format("{}:\n\n{}", manifest.name(), report.text()), false};
}

}  // namespace lockstep::data
