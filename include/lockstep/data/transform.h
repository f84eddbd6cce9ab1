// What is done to a field's samples between the file and the model, in this order: axes, crop,
// flip, log1p, scale and offset, normalisation, one-hot. Random choices are functions of (seed,
// epoch, lane, place of the sample in the lane's segment, axis), the same for all fields of a
// sample and on any number of ranks; in evaluation the crop is the centre and nothing is flipped.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "lockstep/core/shape.h"

namespace lockstep::data {

enum class Normalise : std::uint8_t {
  kNone,
  kUnit,      // to [0, 1] by minimum and maximum
  kStandard,  // mean 0, deviation 1
  kChannel,   // mean 0, deviation 1, of each channel: the last axis after `axes`
};

struct Transform {
  std::vector<int> axes;           // new axis i is stored axis axes[i]; empty: as stored
  std::vector<std::int64_t> crop;  // extents, of the first axes; empty: whole
  bool crop_random = false;        // else the centre
  std::vector<int> flip;           // axes that are mirrored for every other sample
  bool log1p = false;
  double scale = 1, offset = 0;        // x * scale + offset
  std::optional<Normalise> normalise;  // absent: data.normalise for the input, none for others
  std::int64_t one_hot = 0;            // integer field: a last axis of so many classes
  bool operator==(const Transform&) const = default;
  bool is_random() const { return crop_random || !flip.empty(); }
};

// What the model sees of a stored sample. Throws UserError naming `field` where it does not fit.
Shape transformed(const Shape& stored, const Transform& transform, const char* field);

}  // namespace lockstep::data
