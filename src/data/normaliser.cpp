#include "normaliser.h"

#include <algorithm>
#include <cmath>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

struct Line {
  double shift = 0, width = 1;
};

// What the file's statistics, of stored values, say of values after log1p, scale and offset.
bool told_by_statistics(const Field& field, Normalise normalise) {
  return field.reference.known && (normalise == Normalise::kUnit ||
                                   (normalise == Normalise::kStandard && !field.transform.log1p));
}

// Before normalisation.
SeenRange range_of(const Field& field) {
  const Transform& t = field.transform;
  const auto value = [&](double stored) {
    return (t.log1p ? std::log1p(stored) : stored) * t.scale + t.offset;
  };
  const double a = value(field.reference.minimum), b = value(field.reference.maximum);
  return {std::min(a, b), std::max(a, b)};
}

Line line_of(const Field& field, Normalise normalise) {
  const Transform& t = field.transform;
  if (normalise == Normalise::kStandard)
    return {field.reference.mean * t.scale + t.offset,
            field.reference.deviation * std::fabs(t.scale)};
  const SeenRange range = range_of(field);
  return {range.minimum, range.maximum - range.minimum};
}

}  // namespace

std::optional<SeenRange> seen_range(const Field& field) {
  if (!field.reference.known) return std::nullopt;
  const SeenRange range = range_of(field);
  const Normalise normalise = normalise_of(field, Normalise::kNone);
  if (normalise == Normalise::kNone) return range;
  if (normalise == Normalise::kUnit) return SeenRange{0, 1};
  if (!told_by_statistics(field, normalise)) return std::nullopt;
  const Line line = line_of(field, normalise);
  const double width = line.width > 0 ? line.width : 1;
  return SeenRange{(range.minimum - line.shift) / width, (range.maximum - line.shift) / width};
}

Arithmetic arithmetic_of(const Manifest& manifest, const Field& field, Normalise normalise) {
  const Transform& t = field.transform;
  Arithmetic a;
  a.log1p = t.log1p;
  a.scales = t.scale != 1 || t.offset != 0;
  a.scale = static_cast<float>(t.scale);
  a.offset = static_cast<float>(t.offset);
  if (normalise == Normalise::kNone) return a;
  const auto add = [&a](const Line& line) {
    a.shift.push_back(static_cast<float>(line.shift));
    // A field of one value only becomes zero.
    a.factor.push_back(line.width > 0 ? static_cast<float>(1 / line.width) : 1.0F);
  };
  if (!field.centre.empty()) {
    const auto channels = static_cast<std::size_t>(field.seen()[-1]);
    LOCKSTEP_CHECK(field.centre.size() == field.width.size() &&
                       (normalise != Normalise::kChannel || field.centre.size() == channels),
                   "{} numbers normalise {} channels", field.centre.size(), channels);
    for (std::size_t i = 0; i < field.centre.size(); ++i) add({field.centre[i], field.width[i]});
  } else if (told_by_statistics(field, normalise)) {
    add(line_of(field, normalise));
  } else {
    throw UserError(
        "{} has no statistics of {} to normalise by; set data.normalise = \"none\", or "
        "import the data",
        manifest.name(), field.path);
  }
  return a;
}

}  // namespace lockstep::data
