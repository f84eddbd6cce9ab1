#include "chunk_filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "codec.h"

namespace lockstep::data {
namespace {

struct Known {
  std::int32_t number;
  const char* name;
  const char* package;
};
constexpr Known kKnown[] = {{kDeflate, "deflate", ""},
                            {kShuffle, "shuffle", ""},
                            {kFletcher32, "fletcher32", ""},
                            {kSzip, "szip", ""},
                            {kNbit, "nbit", ""},
                            {kScaleOffset, "scaleoffset", ""},
                            {kBzip2, "bzip2", "hdf5-filter-plugin"},
                            {kLzf, "lzf", "hdf5-plugin-lzf"},
                            {kBlosc, "blosc", "hdf5-filter-plugin-blosc-serial"},
                            {kLz4, "lz4", "hdf5-filter-plugin"},
                            {kBitshuffle, "bitshuffle", ""},
                            {kZfp, "zfp", "hdf5-filter-plugin-zfp-serial"},
                            {kZstd, "zstd", ""}};

const Known* known(std::int32_t filter) {
  for (const Known& k : kKnown)
    if (k.number == filter) return &k;
  return nullptr;
}

bool packs(std::int32_t filter) { return filter != kShuffle && filter != kFletcher32; }

const char* unpack(std::int32_t filter, std::span<const std::byte> in, std::span<std::byte> out) {
  switch (filter) {
    case kDeflate:
      return inflate_exactly(in, out);
    case kLzf:
      return unpack_lzf(in, out);
    case kLz4:
      return unpack_lz4(in, out);
    case kZstd:
      return unpack_zstd(in, out);
    default:
      return "its filter is not known here";
  }
}

std::span<std::byte> grown(std::vector<std::byte>& buffer, std::size_t bytes) {
  if (buffer.size() < bytes) buffer.resize(bytes);
  return {buffer.data(), bytes};
}

}  // namespace

std::string filter_name(std::int32_t filter) {
  const Known* k = known(filter);
  return k != nullptr ? k->name : fmt::format("filter {}", filter);
}

std::string filter_names(std::span<const std::int32_t> filters) {
  std::string text;
  for (const std::int32_t filter : filters) text += (text.empty() ? "" : "+") + filter_name(filter);
  return text;
}

const char* package_of(std::int32_t filter) {
  const Known* k = known(filter);
  return k != nullptr ? k->package : "";
}

bool undone_here(std::int32_t filter) {
  switch (filter) {
    case kDeflate:
    case kShuffle:
    case kFletcher32:
    case kLzf:
      return true;
    case kLz4:
#ifdef LOCKSTEP_LZ4
      return true;
#else
      return false;
#endif
    case kZstd:
#ifdef LOCKSTEP_ZSTD
      return true;
#else
      return false;
#endif
    default:
      return false;
  }
}

std::string not_undone(std::span<const std::int32_t> filters) {
  int packers = 0;
  for (const std::int32_t filter : filters) {
    if (!undone_here(filter))
      return fmt::format("its filter {} is not undone here", filter_name(filter));
    packers += packs(filter) ? 1 : 0;
  }
  return packers > 1 ? "it is packed twice" : "";
}

const char* undo_filters(std::span<const std::int32_t> filters, std::uint32_t skipped,
                         std::size_t element_bytes, std::span<const std::byte> raw,
                         std::span<std::byte> out) {
  constexpr const char* kWrongSize = "it has a wrong size";
  constexpr std::size_t kSum = 4;  // bytes that fletcher32 appends
  thread_local std::vector<std::byte> buffers[2];
  const auto applied = [&](std::size_t i) { return i >= 32 || (skipped >> i & 1) == 0; };
  // A packer that gained nothing is left out, and direct writing may leave out all. The rest is
  // what HDF5 never leaves out: then the mask is damaged.
  const std::uint32_t all = filters.size() >= 32 ? ~0U : (1U << filters.size()) - 1;
  for (std::size_t i = 0; (skipped & all) != all && i < filters.size(); ++i)
    if (!applied(i) && !packs(filters[i])) return "the mask of its filters is damaged";
  // The last filter to be undone that moves bytes writes to `out`.
  std::size_t last = filters.size(), sums = 0;
  for (std::size_t i = filters.size(); i-- > 0;) {
    if (!applied(i)) continue;
    if (filters[i] == kFletcher32)
      ++sums;
    else
      last = i;
  }
  std::span<const std::byte> now = raw;
  int spare = 0;
  for (std::size_t i = filters.size(); i-- > 0;) {
    if (!applied(i)) continue;
    if (filters[i] == kFletcher32) {
      if (!ends_with_fletcher32(now)) return "its fletcher32 sum is wrong";
      now = now.first(now.size() - kSum);
      --sums;
      continue;
    }
    // What comes out has the sums of the filters still to be undone, behind the chunk's bytes.
    const std::size_t bytes = packs(filters[i]) ? out.size() + sums * kSum : now.size();
    const std::span<std::byte> to =
        i == last && bytes == out.size() ? out : grown(buffers[spare], bytes);
    spare = 1 - spare;
    if (filters[i] == kShuffle) {
      unshuffle(now, to, element_bytes);
    } else if (const char* wrong = unpack(filters[i], now, to); *wrong != '\0') {
      return wrong;
    }
    now = to;
  }
  if (now.size() != out.size()) return kWrongSize;
  if (now.data() != out.data()) std::memcpy(out.data(), now.data(), out.size());
  return "";
}

std::span<std::byte> raw_scratch(std::size_t bytes) {
  thread_local std::vector<std::byte> buffer;
  return grown(buffer, bytes);
}

std::span<std::byte> chunk_scratch(std::size_t bytes) {
  thread_local std::vector<std::byte> buffer;
  return grown(buffer, bytes);
}

}  // namespace lockstep::data
