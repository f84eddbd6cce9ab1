// Whether a classic NetCDF file is whole. Its library reads zeros where such a file is cut short.
#pragma once
#include "positioned_bytes.h"

namespace lockstep::data {

// Throws DataError if a variable lies beyond the file's end, by the header of a CDF-1, 2 or 5 file
// (NetCDF Users Guide, file format specifications). Other files pass: HDF5 knows its own.
void check_netcdf_size(PositionedBytes& bytes);

}  // namespace lockstep::data
