// The filters of a chunk: which of them are undone here, in which order, and what to install for
// those that are not. Knows bytes and HDF5's numbers of filters; calls no HDF5.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace lockstep::data {

// As HDF5 numbers them; those above 255 are registered at
// https://github.com/HDFGroup/hdf5_plugins.
enum FilterNumber : std::int32_t {
  kDeflate = 1,
  kShuffle = 2,
  kFletcher32 = 3,
  kSzip = 4,
  kNbit = 5,
  kScaleOffset = 6,
  kBzip2 = 307,
  kLzf = 32000,
  kBlosc = 32001,
  kLz4 = 32004,
  kBitshuffle = 32008,
  kZfp = 32013,
  kZstd = 32015
};

std::string filter_name(std::int32_t filter);  // "deflate", "filter 12345"
// "deflate+shuffle"; "" for none.
std::string filter_names(std::span<const std::int32_t> filters);
// The Debian package whose plugin lets HDF5 undo a filter; "" if none is known.
const char* package_of(std::int32_t filter);
bool undone_here(std::int32_t filter);
// Why these together are not undone here; "" if they are.
std::string not_undone(std::span<const std::int32_t> filters);

// Undoes the filters, of which bit i of `skipped` was not applied, so that `out` is full. Uses two
// buffers of the calling thread, which it keeps. Returns "" or what is wrong.
const char* undo_filters(std::span<const std::int32_t> filters, std::uint32_t skipped,
                         std::size_t element_bytes, std::span<const std::byte> raw,
                         std::span<std::byte> out);

// The calling thread's buffers, kept: raw bytes of a chunk, and a chunk of which a part is wanted.
std::span<std::byte> raw_scratch(std::size_t bytes);
std::span<std::byte> chunk_scratch(std::size_t bytes);

}  // namespace lockstep::data
