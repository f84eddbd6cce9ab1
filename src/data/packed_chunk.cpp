#include "packed_chunk.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

// As HDF5's shuffle filter: the first byte of every element, then the second, ...
std::vector<std::byte> shuffled(std::span<const std::byte> in, std::size_t element_bytes) {
  std::vector<std::byte> out(in.size());
  const std::size_t elements = in.size() / element_bytes;
  for (std::size_t b = 0; b < element_bytes; ++b) {
    const std::byte* from = in.data() + b;
    std::byte* to = out.data() + b * elements;
    for (std::size_t i = 0; i < elements; ++i) to[i] = from[i * element_bytes];
  }
  return out;
}

// Deflated bytes, if they are fewer than `raw`.
bool deflate_into(std::span<const std::byte> raw, int level, std::vector<std::byte>& packed) {
  uLongf size = compressBound(static_cast<uLong>(raw.size()));
  packed.resize(size);
  const int code =
      compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                reinterpret_cast<const Bytef*>(raw.data()), static_cast<uLong>(raw.size()), level);
  LOCKSTEP_CHECK(code == Z_OK, "compress2 says {}", code);
  packed.resize(size);
  return packed.size() < raw.size();
}

template <class T>
void put(const T& value, std::vector<std::byte>& message) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  message.insert(message.end(), bytes, bytes + sizeof value);
}

void put(const std::vector<std::byte>& bytes, std::vector<std::byte>& message) {
  put(static_cast<std::uint64_t>(bytes.size()), message);
  message.insert(message.end(), bytes.begin(), bytes.end());
}

template <class T>
T take(std::span<const std::byte>& message) {
  T value;
  LOCKSTEP_CHECK(message.size() >= sizeof value, "a message of chunks is too short");
  std::memcpy(&value, message.data(), sizeof value);
  message = message.subspan(sizeof value);
  return value;
}

std::vector<std::byte> take_bytes(std::span<const std::byte>& message) {
  const auto size = take<std::uint64_t>(message);
  LOCKSTEP_CHECK(message.size() >= size, "a message of chunks is too short");
  const auto bytes = message.first(size);
  message = message.subspan(size);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

PackedChunk pack_chunk(const ChunkForm& form, std::int64_t field, std::int64_t index,
                       std::span<const std::byte> rows) {
  PackedChunk chunk;
  chunk.field = field;
  chunk.index = index;
  chunk.rows = static_cast<std::int64_t>(rows.size() / form.row_bytes());
  Statistics statistics(form.dtype, form.sample);
  statistics.add(index, rows.data(), chunk.rows);
  chunk.figures = statistics.bytes();
  chunk.hash = hash_bytes(rows.data(), rows.size());
  std::vector<std::byte> raw(rows.begin(), rows.end());
  raw.resize(static_cast<std::size_t>(form.rows) * form.row_bytes());
  if (form.shuffles()) raw = shuffled(raw, size_of(form.dtype));
  if (form.deflate > 0 && deflate_into(raw, form.deflate, chunk.bytes)) return chunk;
  if (form.deflate > 0) chunk.filters_off = form.shuffles() ? 2 : 1;  // a bit for each filter
  chunk.bytes = std::move(raw);
  return chunk;
}

void put_chunk(const PackedChunk& chunk, std::vector<std::byte>& message) {
  put(chunk.field, message);
  put(chunk.index, message);
  put(chunk.rows, message);
  put(chunk.filters_off, message);
  put(chunk.hash, message);
  put(chunk.figures, message);
  put(chunk.bytes, message);
}

PackedChunk take_chunk(std::span<const std::byte>& message) {
  PackedChunk chunk;
  chunk.field = take<std::int64_t>(message);
  chunk.index = take<std::int64_t>(message);
  chunk.rows = take<std::int64_t>(message);
  chunk.filters_off = take<std::uint32_t>(message);
  chunk.hash = take<Hash128>(message);
  chunk.figures = take_bytes(message);
  chunk.bytes = take_bytes(message);
  return chunk;
}

}  // namespace lockstep::data
