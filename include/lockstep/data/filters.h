// Which compressed files this build and its installation of HDF5 can read.
#pragma once
#include <string>
#include <vector>

namespace lockstep::data {

struct Filter {
  std::string name;  // "deflate (gzip)", "zstd"
  bool available = false;
};
// The same filters in the same order everywhere; takes the lock of HDF5.
std::vector<Filter> known_filters();

std::string hdf5_library_version();  // "1.10.8"

}  // namespace lockstep::data
