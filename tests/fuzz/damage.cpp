#include "fuzz/damage.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <stdexcept>

namespace lockstep::fuzz {
namespace {

class Draw {
 public:
  Draw(std::uint64_t seed, std::int64_t index)
      : engine_(seed * 0x9E3779B97F4A7C15ULL + static_cast<std::uint64_t>(index)) {
    engine_.discard(3);
  }
  std::size_t below(std::size_t n) { return n == 0 ? 0 : engine_() % n; }
  char byte() { return static_cast<char>(engine_()); }

 private:
  std::mt19937_64 engine_;
};

std::size_t data_place(Draw& draw, const BaseFile& file) {
  if (file.data.empty()) return draw.below(file.bytes.size());
  const auto [begin, end] = file.data[draw.below(file.data.size())];
  return begin + draw.below(end - begin);
}

std::size_t metadata_place(Draw& draw, const BaseFile& file) {
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const std::size_t at = draw.below(file.bytes.size());
    const bool data = std::any_of(file.data.begin(), file.data.end(),
                                  [&](const auto& r) { return r.first <= at && at < r.second; });
    // Most of a small file's metadata is empty space: half of the draws look for what is not.
    if (!data && (file.bytes[at] != 0 || draw.below(2) == 0)) return at;
  }
  return draw.below(file.bytes.size());
}

// Half of the time a bit, half of the time a byte.
void flip(Draw& draw, std::string& bytes, std::size_t at) {
  const auto mask = draw.below(2) == 0 ? std::size_t{1} << draw.below(8) : 1 + draw.below(255);
  bytes[at] = static_cast<char>(bytes[at] ^ static_cast<char>(mask));
}

void damage(Draw& draw, const std::vector<Base>& bases, Case& c) {
  const BaseFile& file = bases[c.base].files[c.file];
  std::string& bytes = c.bytes;
  const std::size_t size = bytes.size();
  const std::size_t at = draw.below(size), length = std::min(1 + draw.below(2048), size - at);
  switch (c.kind) {
    case Kind::kFlipMetadata:
      for (std::size_t n = 1 + draw.below(draw.below(3) == 0 ? 6 : 1); n-- > 0;)
        flip(draw, bytes, metadata_place(draw, file));
      break;
    case Kind::kFlipData:
      flip(draw, bytes, data_place(draw, file));
      break;
    case Kind::kFlipAny:
      for (std::size_t n = 1 + draw.below(8); n-- > 0;) flip(draw, bytes, draw.below(size));
      break;
    case Kind::kTruncate:
    case Kind::kShrinkWhileRead:
      bytes.resize(at);
      break;
    case Kind::kZeros:
      bytes.replace(at, length, length, '\0');
      break;
    case Kind::kNoise:
    case Kind::kRewriteWhileRead:
      for (std::size_t i = at; i < at + length; ++i) bytes[i] = draw.byte();
      break;
    case Kind::kMove:
      bytes.replace(at, length, file.bytes.substr(draw.below(size - length + 1), length));
      break;
    case Kind::kSwap: {
      if (file.data.size() < 2) break;
      const auto a = file.data[draw.below(file.data.size())];
      const auto b = file.data[draw.below(file.data.size())];
      const std::size_t n = std::min(a.second - a.first, b.second - b.first);
      bytes.replace(a.first, n, file.bytes.substr(b.first, n));
      bytes.replace(b.first, n, file.bytes.substr(a.first, n));
      break;
    }
    case Kind::kExchange: {
      const Base& other = bases[draw.below(bases.size())];
      bytes = other.files[draw.below(other.files.size())].bytes;
      break;
    }
    case Kind::kVanishWhileRead:
    case Kind::kNone:
      break;
  }
}

std::string content_of(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

std::vector<Base> read_bases(const fs::path& folder) {
  std::istringstream list(content_of(folder / "bases.txt"));
  std::vector<Base> bases;
  for (std::string line; std::getline(list, line);) {
    std::istringstream words(line);
    Base base;
    words >> base.name;
    for (std::string name; words >> name;) {
      BaseFile file{name, content_of(folder / name), {}, fs::last_write_time(folder / name)};
      std::ifstream ranges(folder / (name + ".ranges"));
      for (std::size_t begin, end; ranges >> begin >> end;)
        if (begin < end) file.data.emplace_back(begin, end);
      base.files.push_back(std::move(file));
    }
    bases.push_back(std::move(base));
  }
  return bases;
}

const char* Case::kind_name() const {
  constexpr const char* kNames[kKinds] = {"bytes of metadata flipped",
                                          "bytes of data flipped",
                                          "any bytes flipped",
                                          "truncated",
                                          "a range zeroed",
                                          "a range of noise",
                                          "a range moved",
                                          "chunks swapped",
                                          "another file",
                                          "shrinks while it is read",
                                          "vanishes while it is read",
                                          "rewritten while it is read",
                                          "undamaged"};
  return kNames[static_cast<int>(kind)];
}

Case draw_case(std::uint64_t seed, std::int64_t index, const std::vector<Base>& bases) {
  Draw draw(seed, index);
  Case c;
  c.index = index;
  c.base = static_cast<std::size_t>(index) % bases.size();
  c.file = draw.below(bases[c.base].files.size());
  // Metadata is what HDF5 trusts most: four cases of ten.
  const std::size_t kind = draw.below(20);
  c.kind = kind < 7 ? Kind::kFlipMetadata : static_cast<Kind>(kind - 7);
  c.bytes = bases[c.base].files[c.file].bytes;
  damage(draw, bases, c);
  return c;
}

}  // namespace lockstep::fuzz
