// What a loader will take of a rank, before it is made and wherever that rank will be: for ledgers of
// runs that are only planned. Reads no sample and takes no memory.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "lockstep/data/loader.h"

namespace lockstep::data {

struct LoaderBytes {
  std::size_t windows = 0;             // decoded samples ahead of the lanes
  std::size_t held = 0, exchange = 0;  // Shuffle::kFull: samples, and those on their way
  std::size_t cache = 0;
  std::string cache_text;  // of the cache, as Loader::cache_text(); "" without one
};

class LoaderPlan {
 public:
  // Throws what a loader of these options would. Reads what the files say of their datasets.
  LoaderPlan(const Manifest& manifest, const LoaderOptions& options);
  ~LoaderPlan();

  // lanes: whose samples each position reads; where they are not as many as the options have, the
  // batch is larger or smaller by so many microbatches. places: as for Loader::start().
  LoaderBytes bytes(const comm::Topology& topology, std::span<const std::int64_t> lanes,
                    std::int64_t places) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep::data
