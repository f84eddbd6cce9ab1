// A chunk of a field on its way into a file: its rows as the file holds them, and what is known of
// them. Made on any rank, sent as bytes, written by the first. Knows no HDF5 and no split.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "lockstep/core/dtype.h"
#include "lockstep/core/hash.h"
#include "lockstep/core/shape.h"
#include "statistics.h"

namespace lockstep::data {

// How the chunks of a field are packed; the same for all of them.
struct ChunkForm {
  DType dtype = DType::kF32;
  Shape sample;
  std::int64_t rows = 1;  // of a whole chunk
  int deflate = 0;        // 0: not packed
  std::size_t row_bytes() const {
    return static_cast<std::size_t>(sample.elements()) * size_of(dtype);
  }
  // Shuffled bytes of wider elements pack better.
  bool shuffles() const { return deflate > 0 && size_of(dtype) > 1; }
};

struct PackedChunk {
  std::int64_t field = 0, index = 0, rows = 0;
  std::uint32_t filters_off = 0;   // HDF5's filter mask: deflate is off where it does not help
  std::vector<std::byte> figures;  // Statistics::bytes() of this chunk alone
  Hash128 hash;                    // of the rows that there are, before they are packed
  std::vector<std::byte> bytes;
};

// `rows`: the rows that there are, at most form.rows. A last chunk is filled up with zeros.
PackedChunk pack_chunk(const ChunkForm& form, std::int64_t field, std::int64_t index,
                       std::span<const std::byte> rows);

// As bytes, behind what `message` has; and the first one of `message`, which is shortened by it.
void put_chunk(const PackedChunk& chunk, std::vector<std::byte>& message);
PackedChunk take_chunk(std::span<const std::byte>& message);

}  // namespace lockstep::data
