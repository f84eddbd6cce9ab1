// By what a field's values are shifted and scaled before the model sees them, from what is known of
// the field.
#pragma once
#include "conversion.h"
#include "lockstep/data/normalisation.h"

namespace lockstep::data {

// log1p, scale and offset of the field, and this normalisation. Throws UserError where that needs
// what is not known.
Arithmetic arithmetic_of(const Manifest& manifest, const Field& field, Normalise normalise);

}  // namespace lockstep::data
