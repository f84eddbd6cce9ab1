// The random choices of a sample's transform, named by where the sample stands in the order of an
// epoch: the same for all fields of a sample, on any rank, whenever they are asked for.
#pragma once
#include <array>
#include <cstdint>

#include "lockstep/core/philox.h"

namespace lockstep::data {

struct Draw {
  std::uint64_t seed = 0;
  std::int64_t epoch = -1;  // -1: nothing is left to chance
  std::int64_t lane = 0;
  std::int64_t place = 0;  // in the lane's segment, < 2^48
  bool is_random() const { return epoch >= 0; }
  Draw next(std::int64_t samples) const { return {seed, epoch, lane, place + samples}; }

  struct Choice {
    std::uint32_t cut, mirror;
    // Where a piece of `part` begins in an axis of `whole`; the bias is below 2^-32 whole.
    std::int64_t begin(std::int64_t whole, std::int64_t part) const {
      return static_cast<std::int64_t>(
          (static_cast<unsigned __int128>(cut) * static_cast<std::uint64_t>(whole - part + 1)) >>
          32);
    }
    bool is_mirrored() const { return mirror >> 31 != 0; }
  };
  // Of one axis of a sample as its transform orders them.
  Choice choose(int axis) const {
    constexpr std::uint64_t kStream = 0x7472616e73666f72;  // apart from what else the seed draws
    const auto at = static_cast<std::uint64_t>(place);
    const auto words =
        philox4x32({static_cast<std::uint32_t>(at),
                    static_cast<std::uint32_t>(at >> 32) | static_cast<std::uint32_t>(axis) << 16,
                    static_cast<std::uint32_t>(lane), static_cast<std::uint32_t>(epoch)},
                   seed ^ kStream);
    return {words[0], words[1]};
  }
};

}  // namespace lockstep::data
