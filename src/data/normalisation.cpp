#include "lockstep/data/normalisation.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "conversion.h"
#include "lockstep/core/error.h"
#include "normaliser.h"
#include "row_source.h"
#include "scan.h"
#include "statistics.h"

namespace lockstep::data {
namespace {

// Parts of a field that are measured apart and merged in order, on however many ranks.
constexpr std::int64_t kParts = 64;
constexpr std::int64_t kPartBytes = 4 << 20;          // of a small field fewer
constexpr std::int64_t kMostMoments = 1 << 20;        // of all parts together: 24 MiB
constexpr std::int64_t kMostMeasuredBlock = 1 << 20;  // floats that are converted at once

// Mean and deviation of each channel over pixels [count, channels]; what is not finite is left out.
class Channels {
 public:
  explicit Channels(std::int64_t channels)
      : count_(static_cast<std::size_t>(channels)),
        mean_(count_.size()),
        squares_(count_.size()),
        moments_(count_.size()) {}

  void add(const float* values, std::int64_t pixels) {
    std::fill(count_.begin(), count_.end(), 0);
    std::fill(mean_.begin(), mean_.end(), 0);
    std::fill(squares_.begin(), squares_.end(), 0);
    each(values, pixels, [this](std::size_t c, double value) {
      count_[c] += 1;
      mean_[c] += value;
    });
    for (std::size_t c = 0; c < count_.size(); ++c) mean_[c] /= std::max(count_[c], 1.0);
    each(values, pixels, [this](std::size_t c, double value) {
      squares_[c] += (value - mean_[c]) * (value - mean_[c]);
    });
    for (std::size_t c = 0; c < count_.size(); ++c)
      if (count_[c] > 0)
        moments_[c].add({static_cast<std::int64_t>(count_[c]), mean_[c], squares_[c]});
  }
  const std::vector<Moments>& moments() const { return moments_; }

 private:
  template <class Visit>
  void each(const float* values, std::int64_t pixels, const Visit& visit) const {
    for (std::int64_t i = 0; i < pixels; ++i)
      for (std::size_t c = 0; c < count_.size(); ++c) {
        const float value = *values++;
        if (std::isfinite(value)) visit(c, value);
      }
  }
  std::vector<double> count_, mean_, squares_;  // of a block
  std::vector<Moments> moments_;
};

// The field as it is measured: neither cut nor mirrored.
Field uncut(const Field& field) {
  Field whole = field;
  whole.transform.crop.clear();
  whole.transform.crop_random = false;
  whole.transform.flip.clear();
  return whole;
}

std::vector<Moments> measure_part(const Manifest& manifest, const Split& split, const Field& field,
                                  std::int64_t channels, std::int64_t begin, std::int64_t end) {
  const Conversion conversion(field, arithmetic_of(manifest, field, Normalise::kNone));
  const auto source = open_rows(manifest, split, field);
  const std::int64_t elements = conversion.elements();
  const std::int64_t step = std::clamp<std::int64_t>(
      std::min(kMostMeasuredBlock / elements,
               kScanBytes / static_cast<std::int64_t>(field.sample_bytes())),
      1, std::max<std::int64_t>(end - begin, 1));
  std::vector<std::byte> rows(static_cast<std::size_t>(step) * field.sample_bytes());
  std::vector<float> values(static_cast<std::size_t>(step * elements));
  Channels sums(channels);
  KeptUnit kept;
  for (std::int64_t first = begin; first < end; first += step) {
    const std::int64_t count = std::min(step, end - first);
    source->read(first, count, rows.data(), kept);
    conversion.to_floats(rows.data(), count, {}, values.data());
    sums.add(values.data(), count * elements / channels);
  }
  return sums.moments();
}

// Of each channel, on all ranks.
std::vector<Moments> measure(comm::Communicator& communicator, const Manifest& manifest,
                             const Split& split, const Field& given, std::int64_t channels) {
  const Field field = uncut(given);
  const auto bytes = field.count * static_cast<std::int64_t>(field.sample_bytes());
  const std::int64_t parts =
      std::clamp<std::int64_t>(std::min(bytes / kPartBytes, kMostMoments / channels), 1, kParts);
  // Parts begin where chunks do, so that each is decoded once.
  const std::int64_t chunk = std::max<std::int64_t>(field.chunk, 1);
  const auto begin_of = [&](std::int64_t part) {
    return part == parts ? field.count : field.count * part / parts / chunk * chunk;
  };
  const std::int64_t ranks = communicator.size(), position = communicator.topology().position;
  std::vector<Moments> mine;
  communicator.together([&] {
    for (std::int64_t p = parts * position / ranks; p < parts * (position + 1) / ranks; ++p) {
      const auto part =
          measure_part(manifest, split, field, channels, begin_of(p), begin_of(p + 1));
      mine.insert(mine.end(), part.begin(), part.end());
    }
  });
  const auto gathered = communicator.gather_all(std::as_bytes(std::span(mine)));
  std::vector<Moments> all(static_cast<std::size_t>(parts * channels));
  LOCKSTEP_CHECK(gathered.size() == all.size() * sizeof(Moments), "{} bytes of moments",
                 gathered.size());
  std::memcpy(all.data(), gathered.data(), gathered.size());
  std::vector<Moments> total(static_cast<std::size_t>(channels));
  for (std::size_t i = 0; i < all.size(); ++i)
    if (all[i].count > 0) total[i % total.size()].add(all[i]);
  return total;
}

// Figures of the last stored axis serve where that is still the last one.
bool told_by_figures(const Field& field) {
  const std::vector<int>& axes = field.transform.axes;
  return !field.transform.log1p && field.sample[-1] <= Statistics::kMostChannels &&
         (axes.empty() || axes.back() == field.sample.rank() - 1);
}

}  // namespace

Normalise normalise_of(const Field& field, Normalise otherwise) {
  const Transform& t = field.transform;
  return t.normalise.value_or(t.one_hot > 0 ? Normalise::kNone : otherwise);
}

void add_normalisation(comm::Communicator& communicator, Manifest& manifest,
                       const std::string& split, const std::string& name, Normalise normalise) {
  const Field& field = resolve_field(manifest, split, name, "input");
  const Transform& t = field.transform;
  if (normalise == Normalise::kNone || !field.centre.empty()) return;
  check_transform(field, normalise);
  if (normalise == Normalise::kUnit || (normalise == Normalise::kStandard && !t.log1p))
    return add_statistics(communicator, manifest, split, field.name);
  const bool told = normalise == Normalise::kChannel && told_by_figures(field);
  if (told) add_statistics(communicator, manifest, split, field.name);
  std::vector<double> centre, width;
  if (told) {
    LOCKSTEP_CHECK(
        static_cast<std::int64_t>(field.reference.channel_mean.size()) == field.sample[-1],
        "{} means of {} channels", field.reference.channel_mean.size(), field.sample[-1]);
    for (const double mean : field.reference.channel_mean)
      centre.push_back(mean * t.scale + t.offset);
    for (const double deviation : field.reference.channel_deviation)
      width.push_back(deviation * std::fabs(t.scale));
  } else {
    const std::int64_t channels = normalise == Normalise::kChannel ? field.seen()[-1] : 1;
    for (const Moments& m :
         measure(communicator, manifest, *manifest.find(split), field, channels)) {
      centre.push_back(m.mean);
      width.push_back(m.deviation());
    }
  }
  const std::string found = field.name;
  for (Split& s : manifest.splits)
    for (Field& f : s.fields)
      if (f.name == found) f.centre = centre, f.width = width;
}

}  // namespace lockstep::data
