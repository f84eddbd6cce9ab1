#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "lockstep/core/error.h"
#include "lockstep/data/quality.h"
#include "scan.h"
#include "statistics.h"

namespace lockstep::data {
namespace {

constexpr int kGroups = 10;           // deciles
constexpr double kLeastShare = 1e-4;  // of a group, in the index's logarithm
// Parts of B's histogram may be so much wider than those of A's: fewer parts tell too little.
constexpr double kMostWidening = 4;

using Counts = std::vector<double>;

struct Pair {  // shares of the same parts, in order
  Counts a, b;
};

void to_shares(Counts& counts) {
  const double sum = std::accumulate(counts.begin(), counts.end(), 0.0);
  for (double& count : counts) count /= std::max(sum, 1.0);
}

double width_of(const Figures& f) { return (f.high - f.low) / Figures::kParts; }

// Both histograms in parts of the wider width of both. Widths are powers of two and edges their
// multiples, so that parts of a part add up exactly.
Pair common_parts(const Figures& a, const Figures& b) {
  const double width = std::max(width_of(a), width_of(b));
  std::map<double, std::pair<double, double>> parts;  // by place
  for (int i = 0; i < Figures::kParts; ++i) {
    const auto place = [&](const Figures& f) {
      return std::floor((f.low + i * width_of(f)) / width);
    };
    const auto at = static_cast<std::size_t>(i);
    if (a.histogram[at] > 0) parts[place(a)].first += static_cast<double>(a.histogram[at]);
    if (b.histogram[at] > 0) parts[place(b)].second += static_cast<double>(b.histogram[at]);
  }
  Pair pair;
  for (const auto& [place, counts] : parts) {
    pair.a.push_back(counts.first);
    pair.b.push_back(counts.second);
  }
  return pair;
}

// sup |F_A - F_B|, at the edges of the parts (Kolmogorov 1933, Smirnov 1939).
double distance_of(const Pair& shares) {
  double a = 0, b = 0, most = 0;
  for (std::size_t i = 0; i < shares.a.size(); ++i) {
    a += shares.a[i];
    b += shares.b[i];
    most = std::max(most, std::abs(a - b));
  }
  return most;
}

// sum (a - b) ln(a / b).
double index_of(const Pair& shares) {
  double sum = 0;
  for (std::size_t i = 0; i < shares.a.size(); ++i) {
    const double a = std::max(shares.a[i], kLeastShare), b = std::max(shares.b[i], kLeastShare);
    sum += (a - b) * std::log(a / b);
  }
  return sum;
}

// Parts put together where A's next decile ends.
Pair by_deciles(const Pair& shares) {
  Pair groups{{0}, {0}};
  double sum = 0;
  int cut = 1;
  for (std::size_t i = 0; i < shares.a.size(); ++i) {
    groups.a.back() += shares.a[i];
    groups.b.back() += shares.b[i];
    sum += shares.a[i];
    if (i + 1 == shares.a.size() || sum < static_cast<double>(cut) / kGroups - 1e-12) continue;
    while (cut < kGroups && sum >= static_cast<double>(cut) / kGroups - 1e-12) ++cut;
    groups.a.push_back(0);
    groups.b.push_back(0);
  }
  return groups;
}

Pair of_classes(const Figures& a, const Figures& b) {
  const std::size_t classes = std::max(a.classes.size(), b.classes.size());
  Pair pair{Counts(classes, 0), Counts(classes, 0)};
  std::copy(a.classes.begin(), a.classes.end(), pair.a.begin());
  std::copy(b.classes.begin(), b.classes.end(), pair.b.begin());
  return pair;
}

Drift compare_fields(const Field& a, const Field& b) {
  Drift drift;
  const Figures &fa = a.figures, &fb = b.figures;
  const bool classes = !fa.classes.empty() && !fb.classes.empty() && a.role != "input";
  if (a.sample != b.sample) {
    drift.remark = fmt::format("samples of {} became {}", a.sample.text(), b.sample.text());
  } else if (!classes && (fa.histogram.empty() || fb.histogram.empty())) {
    if (fa.count != fa.not_finite || fb.count != fb.not_finite)
      drift.remark = "no histogram is known";
    else if ((fa.count == 0) != (fb.count == 0))
      drift.remark = "no values in one of them";
  } else if (!classes && width_of(fb) > kMostWidening * width_of(fa) && fa.minimum < fa.maximum) {
    drift.remark = fmt::format("values from {:g} to {:g} now go from {:g} to {:g}", fa.minimum,
                               fa.maximum, fb.minimum, fb.maximum);
  } else {
    Pair shares = classes ? of_classes(fa, fb) : common_parts(fa, fb);
    to_shares(shares.a);
    to_shares(shares.b);
    drift.distance = distance_of(shares);
    drift.index = index_of(classes ? shares : by_deciles(shares));
  }
  return drift;
}

bool is_within(const Drift& drift, const DriftLimits& limits) {
  return drift.remark.empty() && drift.index <= limits.index && drift.distance <= limits.distance;
}

}  // namespace

std::vector<Drift> compare(const Manifest& a, const Manifest& b) {
  std::vector<Drift> drifts;
  for (const Split& split : a.splits) {
    const Split* other = b.find(split.name);
    for (const Field& field : split.fields) {
      const Field* match = other != nullptr ? other->find(field.name) : nullptr;
      Drift drift;
      if (match == nullptr)
        drift.remark = other == nullptr ? "the split is gone" : "the field is gone";
      else
        drift = compare_fields(field, *match);
      drift.split = split.name;
      drift.field = field.name;
      drifts.push_back(std::move(drift));
    }
  }
  return drifts;
}

bool within(std::span<const Drift> drifts, const DriftLimits& limits) {
  return std::all_of(drifts.begin(), drifts.end(),
                     [&](const Drift& drift) { return is_within(drift, limits); });
}

std::string drift_text(std::span<const Drift> drifts, const DriftLimits& limits) {
  std::size_t split = 5, field = 5;
  for (const Drift& drift : drifts) {
    split = std::max(split, drift.split.size());
    field = std::max(field, drift.field.size());
  }
  std::string text =
      fmt::format("{:<{}}  {:<{}}  {:>9}  {:>9}\n", "split", split, "field", field, "PSI", "KS");
  for (const Drift& drift : drifts) {
    const bool good = is_within(drift, limits);
    text += fmt::format("{:<{}}  {:<{}}", drift.split, split, drift.field, field);
    text += drift.remark.empty() ? fmt::format("  {:>9.4f}  {:>9.4f}{}\n", drift.index,
                                               drift.distance, good ? "" : "  past a limit")
                                 : fmt::format("  {:>9}  {:>9}  {}\n", "-", "-", drift.remark);
  }
  return text + fmt::format("limits: PSI {:g}, KS {:g}: {}", limits.index, limits.distance,
                            within(drifts, limits) ? "no drift past them" : "drift past them");
}

// Every rank reads the blocks that are its turn; all merge them in the same order.
void add_histograms(comm::Communicator& communicator, Manifest& manifest) {
  const std::int64_t rank = communicator.topology().position, ranks = communicator.size();
  for (Split& split : manifest.splits)
    for (Field& field : split.fields) {
      if (field.figures.known && !field.figures.histogram.empty()) continue;
      Statistics statistics(field.dtype, field.sample);
      communicator.together([&] {
        const auto source = open_rows(manifest, split, field);
        const auto row_bytes = static_cast<std::int64_t>(field.sample_bytes());
        const std::int64_t step = std::max<std::int64_t>(kScanBytes / row_bytes, 1);
        std::vector<std::byte> rows(
            static_cast<std::size_t>(std::min(step, field.count) * row_bytes));
        KeptUnit kept;
        for (std::int64_t block = rank; block * step < field.count; block += ranks) {
          const std::int64_t count = std::min(step, field.count - block * step);
          source->read(block * step, count, rows.data(), kept);
          statistics.add(block, rows.data(), count);
        }
      });
      const std::vector<std::byte> mine = statistics.bytes();
      Statistics all(field.dtype, field.sample);
      for (int from = 0; from < communicator.size(); ++from) {
        std::size_t bytes = mine.size();
        comm::broadcast_value(communicator, bytes, from);
        std::vector<std::byte> theirs =
            from == communicator.rank() ? mine : std::vector<std::byte>(bytes);
        communicator.broadcast(theirs, from);
        all.merge(theirs);
      }
      field.figures = all.figures();
    }
}

}  // namespace lockstep::data
