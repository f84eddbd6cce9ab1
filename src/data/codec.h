// Undoes what a chunk's filters did, and foreign byte order, outside of HDF5 and its lock. Knows
// bytes only. Functions that can fail return "" or what is wrong; each thread has its own state,
// which it keeps.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace lockstep::data {

// A zlib stream that must fill `out` exactly; its Adler-32 is checked. By libdeflate where the
// build has it (about twice as quick as zlib).
const char* inflate_exactly(std::span<const std::byte> packed, std::span<std::byte> out);

// HDF5's filter 32004: u64 bytes of all and u32 bytes of a block, then for each block u32 stored
// bytes and an LZ4 block, or the bytes as they are where that is no shorter; big-endian numbers.
const char* unpack_lz4(std::span<const std::byte> packed, std::span<std::byte> out);

// HDF5's filter 32015: one Zstandard frame.
const char* unpack_zstd(std::span<const std::byte> packed, std::span<std::byte> out);

// HDF5's filter 32000, h5py's "lzf": one LibLZF block.
const char* unpack_lzf(std::span<const std::byte> packed, std::span<std::byte> out);

// HDF5's shuffle filter stores the first byte of every element, then the second, ...; a rest
// shorter than an element is stored as it is.
void unshuffle(std::span<const std::byte> in, std::span<std::byte> out, std::size_t element_bytes);

// HDF5's form of Fletcher's sum: of big-endian 16-bit words, an odd last byte as a high one.
std::uint32_t fletcher32(std::span<const std::byte> bytes);
// Whether the last four bytes are the sum of those before them. HDF5 up to 1.6.2 swapped the bytes
// of both halves on little-endian machines: that is right, too.
bool ends_with_fletcher32(std::span<const std::byte> bytes);

void swap_bytes(std::span<std::byte> bytes, std::size_t element_bytes);

}  // namespace lockstep::data
