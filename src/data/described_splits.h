// The splits that a description names: by files, by a group in the paths, by a seeded fraction of
// what they share. Knows no rows.
#pragma once
#include <vector>

#include "described.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

// In the description's order; one split "train" where it names none. Throws UserError for what
// cannot be said together and for names that are not there, DataError as gather_fields() does.
std::vector<Split> read_described_splits(const Description& description, FileTable& table);

}  // namespace lockstep::data
