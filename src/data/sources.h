// Other files that HDF5 opens by itself to read a dataset: sources of a virtual one, external
// storage. Knows no fields.
#pragma once
#include "links.h"

namespace lockstep::data {

// To be called before anything is asked of the dataset: its extents, too, may be those of its
// sources, which HDF5 opens to know them. Throws UserError for one out of reach, DataError for a
// source that is not there: HDF5 would take the fill value for its samples. Takes the lock.
void check_sources(const Located& dataset, const Reach& reach);

}  // namespace lockstep::data
