#include "lockstep/data/filters.h"

#include <fmt/format.h>

#include "data/chunk_filters.h"
#include "data/hdf5.h"

namespace lockstep::data {

std::vector<Filter> known_filters() {
  struct Known {
    const char* name;
    std::int32_t number;
  };
  constexpr Known kKnown[] = {{"deflate (gzip)", kDeflate},
                              {"shuffle", kShuffle},
                              {"fletcher32", kFletcher32},
                              {"szip", kSzip},
                              {"bzip2", kBzip2},
                              {"lzf", kLzf},
                              {"blosc", kBlosc},
                              {"lz4", kLz4},
                              {"zfp", kZfp},
                              {"zstd", kZstd}};
  const Hdf5Lock lock;
  std::vector<Filter> filters;
  for (const Known& known : kKnown) {
    filters.push_back({known.name, undone_here(known.number) || H5Zfilter_avail(known.number) > 0});
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
