// What the header of an HDF5 dataset says, and whether it can be believed: a damaged one can claim
// any size. Knows no field's pieces and no manifest.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "hdf5.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

struct DatasetHeader {
  bool is_number = true;  // false: a scalar of another type; nothing else is known of it then
  DType dtype = DType::kF32;
  std::vector<std::int64_t> extents;  // empty: a scalar
  std::int64_t chunk = 0;             // rows of a chunk; 0: not chunked
  std::string unit;                   // its attribute "unit" or "units"
  bool elsewhere = false;             // virtual, or its data lie in other files
  bool checksummed = false;           // by fletcher32, or in a deflated stream
  bool all_stored = true;             // as far as the header tells
  double file_bytes = 0;
};

// The caller holds the lock. Throws DataError naming file and dataset.
DatasetHeader read_header(hid_t dataset, const std::string& file, const std::string& path);

// A field to which apply_header() may be applied, without this one's pieces: they may be many.
Field like(const Field& field);

// Gives the field its type, the shape of a sample and, of this one dataset, chunk and count.
// field.layout and field.block are there. Throws DataError, and UserError where the layout cannot
// be that of the dataset.
void apply_header(const DatasetHeader& header, const std::string& file, const std::string& path,
                  Field& field);

}  // namespace lockstep::data
