// Undoes what a chunk's filters did (deflate, shuffle) and foreign byte order, outside of HDF5 and
// its lock. Knows bytes only.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

namespace lockstep::data {

// Inflates a zlib stream that must fill `out` exactly; zlib checks its Adler-32. Returns "" or what
// is wrong with the stream.
const char* inflate_exactly(std::span<const std::byte> packed, std::span<std::byte> out);

// HDF5's shuffle filter stores the first byte of every element, then the second, ...; a rest
// shorter than an element is stored as it is.
void unshuffle(std::span<const std::byte> in, std::span<std::byte> out, std::size_t element_bytes);

void swap_bytes(std::span<std::byte> bytes, std::size_t element_bytes);

}  // namespace lockstep::data
