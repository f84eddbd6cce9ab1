// How a field lies in its files: what a plan of reading has to know. Reads no samples.
#pragma once
#include <string>

#include "lockstep/data/dataset.h"

namespace lockstep::data {

struct StoredField {
  double bytes = 0;     // of a sample, as it is stored, the mean of its datasets
  std::string filters;  // "deflate+shuffle"; "": none
};

// Of a manifest that was read collectively, which knows where the bytes lie; of another, or where
// only HDF5 knows: as if nothing were compressed.
StoredField stored_field(const Manifest& manifest, const Field& field);

}  // namespace lockstep::data
