// Reads a field of a split once, by all ranks together, and tells its figures and its units'
// hashes: the same numbers on any number of ranks.
#pragma once
#include "lockstep/comm/communicator.h"
#include "lockstep/data/dataset.h"
#include "lockstep/data/versions.h"

namespace lockstep::data {

struct Measured {
  Figures figures;
  UnitHashes hashes;  // of all units of the field's pieces, selected or not; empty: not asked for
};

// Collective; all ranks know the result.
Measured measure_field(comm::Communicator& communicator, const Manifest& manifest,
                       const Split& split, const Field& field, bool with_hashes);

// The figures alone, by this rank alone.
Figures read_figures(const Manifest& manifest, const Split& split, const Field& field);

// classes = max + 1 over all splits, for the integer scalar fields of a foreign file. Reads those
// whose figures are not known.
void find_classes(Manifest& manifest);

}  // namespace lockstep::data
