// By what a field's values are normalised: found in what the file tells, else measured. The model
// keeps it, so that evaluation on other data computes with the same numbers.
#pragma once
#include <optional>
#include <string>

#include "lockstep/comm/communicator.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

// How the field is normalised as the input (by data.normalise where its transform does not say), or
// as another field.
Normalise normalise_of(const Field& field, Normalise otherwise);

// The range of a field's values as the model sees them, if the file's statistics tell it.
struct SeenRange {
  double minimum, maximum;
};
std::optional<SeenRange> seen_range(const Field& field);

// Finds what this normalisation of the field needs, in all splits: from the file's statistics where
// they tell it; else the train split's samples are read once by all ranks together, in parts that
// do not depend on their number, uncut and unmirrored. Collective. Does nothing where it is known.
void add_normalisation(comm::Communicator& communicator, Manifest& manifest,
                       const std::string& split, const std::string& field, Normalise normalise);

}  // namespace lockstep::data
