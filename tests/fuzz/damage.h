// The good files, and what is done to them: a pure function of the seed and the number of the case.
#pragma once
#include <fmt/format.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace lockstep::fuzz {

namespace fs = std::filesystem;

struct BaseFile {
  std::string name;
  std::string bytes;
  std::vector<std::pair<std::size_t, std::size_t>> data;  // [begin, end); all else is metadata
  fs::file_time_type changed;
};
struct Base {
  std::string name;
  std::vector<BaseFile> files;  // the first is the one that is read
};
std::vector<Base> read_bases(const fs::path& folder);

enum class Kind {
  kFlipMetadata,  // a byte, or a few
  kFlipData,
  kFlipAny,
  kTruncate,
  kZeros,     // a range
  kNoise,     // a range
  kMove,      // a range over another one of the same file
  kSwap,      // two ranges of data
  kExchange,  // another base's file in its place
  kShrinkWhileRead,
  kVanishWhileRead,
  kRewriteWhileRead,
  kNone  // the file as it was
};
inline constexpr int kKinds = 13;

struct Case {
  std::int64_t index = 0;
  std::size_t base = 0, file = 0;  // which of its files
  Kind kind = Kind::kNone;
  std::string bytes;  // of that file, damaged
  bool while_reading() const {
    return kind == Kind::kShrinkWhileRead || kind == Kind::kVanishWhileRead ||
           kind == Kind::kRewriteWhileRead;
  }
  const char* kind_name() const;
};
Case draw_case(std::uint64_t seed, std::int64_t index, const std::vector<Base>& bases);

}  // namespace lockstep::fuzz
