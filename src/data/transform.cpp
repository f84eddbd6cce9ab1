#include "lockstep/data/transform.h"

#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {
namespace {

// "field 'image', whose samples are 3x5x7"
std::string named(const char* field, const Shape& stored) {
  return fmt::format("field '{}', whose samples are {}", field, stored.text());
}

void check_axes(const Shape& stored, const std::vector<int>& axes, const char* field) {
  std::vector<int> sorted = axes;
  std::sort(sorted.begin(), sorted.end());
  bool each = static_cast<int>(axes.size()) == stored.rank();
  for (std::size_t i = 0; each && i < sorted.size(); ++i) each = sorted[i] == static_cast<int>(i);
  if (each) return;
  throw UserError("axes = [{}] of {}, must name each axis once, from 0 to {}",
                  fmt::join(axes, ", "), named(field, stored), stored.rank() - 1);
}

void check_crop(const Shape& stored, const Shape& whole, const Transform& t, const char* field) {
  if (t.crop_random && t.crop.empty())
    throw UserError("crop_random of {}, needs crop: how much is left of each axis",
                    named(field, stored));
  bool fits = static_cast<int>(t.crop.size()) <= whole.rank();
  for (std::size_t i = 0; fits && i < t.crop.size(); ++i)
    fits = t.crop[i] >= 1 && t.crop[i] <= whole[static_cast<int>(i)];
  if (fits) return;
  throw UserError("crop = [{}] does not fit {}{}", fmt::join(t.crop, ", "), named(field, stored),
                  t.axes.empty() ? "" : fmt::format(", and {} after axes", whole.text()));
}

void check_flip(const Shape& stored, const std::vector<int>& flip, const char* field) {
  std::vector<int> sorted = flip;
  std::sort(sorted.begin(), sorted.end());
  const bool twice = std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end();
  if (!twice && (sorted.empty() || (sorted.front() >= 0 && sorted.back() < stored.rank()))) return;
  throw UserError("flip = [{}] of {}, must name axes from 0 to {}, each once",
                  fmt::join(flip, ", "), named(field, stored), stored.rank() - 1);
}

// Of channels that are cut or mirrored nobody knows which is which.
void check_channels(const Field& field) {
  const Transform& t = field.transform;
  const Shape shape = field.seen();
  const int last = shape.rank() - 1;
  const bool cut = last >= 0 && static_cast<int>(t.crop.size()) > last &&
                   shape[last] != field.sample[t.axes.empty() ? last : t.axes.back()];
  const bool mirrored = std::find(t.flip.begin(), t.flip.end(), last) != t.flip.end();
  if (shape.rank() > 0 && !cut && !mirrored) return;
  throw UserError(
      "normalise = \"channel\" of {}, needs channels, the last axis{}, and all of them as they "
      "are; use \"standard\", or order the axes otherwise",
      named(field.name.c_str(), field.sample), t.axes.empty() ? "" : " after axes");
}

}  // namespace

Shape transformed(const Shape& stored, const Transform& t, const char* field) {
  Shape shape = stored;
  if (!t.axes.empty()) {
    check_axes(stored, t.axes, field);
    for (int i = 0; i < stored.rank(); ++i) shape[i] = stored[t.axes[i]];
  }
  check_crop(stored, shape, t, field);
  check_flip(stored, t.flip, field);
  for (std::size_t i = 0; i < t.crop.size(); ++i) shape[static_cast<int>(i)] = t.crop[i];
  if (t.one_hot > 0 && shape.rank() == Shape::kMaxRank)
    throw UserError("one_hot of {}, would make an axis too many", named(field, stored));
  return t.one_hot > 0 ? shape.append(t.one_hot) : shape;
}

void check_transform(const Field& field, Normalise normalise) {
  const Transform& t = field.transform;
  field.seen();
  if (normalise == Normalise::kChannel) check_channels(field);
  if (t == Transform()) return;
  const std::string name = named(field.name.c_str(), field.sample);
  if (field.sequence > 0) throw UserError("{}: tokens are not transformed", name);
  if (t.one_hot == 0) return;
  if (is_float(field.dtype))
    throw UserError("one_hot of {}, is for integers, not {}", name, name_of(field.dtype));
  if (t.log1p || t.scale != 1 || t.offset != 0 || normalise != Normalise::kNone)
    throw UserError("one_hot of {}, does not go with log1p, scale, offset or normalise", name);
}

}  // namespace lockstep::data
