#include "lockstep/data/filters.h"

#include <fmt/format.h>

#include "data/hdf5.h"

namespace lockstep::data {

// Numbers: HDF5's own, and those registered at https://github.com/HDFGroup/hdf5_plugins.
std::vector<Filter> known_filters() {
  struct Known {
    const char* name;
    H5Z_filter_t number;
  };
  constexpr Known kKnown[] = {{"deflate (gzip)", H5Z_FILTER_DEFLATE},
                              {"shuffle", H5Z_FILTER_SHUFFLE},
                              {"fletcher32", H5Z_FILTER_FLETCHER32},
                              {"szip", H5Z_FILTER_SZIP},
                              {"bzip2", 307},
                              {"lzf", 32000},
                              {"blosc", 32001},
                              {"lz4", 32004},
                              {"zfp", 32013},
                              {"zstd", 32015}};
  const Hdf5Lock lock;
  std::vector<Filter> filters;
  for (const Known& known : kKnown) {
    filters.push_back({known.name, H5Zfilter_avail(known.number) > 0});
    hdf5_reason();  // of what is not there
  }
  return filters;
}

std::string hdf5_library_version() {
  const Hdf5Lock lock;
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return fmt::format("{}.{}.{}", major, minor, release);
}

}  // namespace lockstep::data
