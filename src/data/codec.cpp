#include "codec.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>

namespace lockstep::data {
namespace {

template <class T>
void swap_elements(std::span<std::byte> bytes) {
  for (std::size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
    T value;
    std::memcpy(&value, bytes.data() + i, sizeof value);
    if constexpr (sizeof(T) == 2) value = __builtin_bswap16(value);
    if constexpr (sizeof(T) == 4) value = __builtin_bswap32(value);
    if constexpr (sizeof(T) == 8) value = __builtin_bswap64(value);
    std::memcpy(bytes.data() + i, &value, sizeof value);
  }
}

}  // namespace

const char* inflate_exactly(std::span<const std::byte> packed, std::span<std::byte> out) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return "zlib cannot start";
  constexpr std::size_t kMost = std::numeric_limits<uInt>::max();  // zlib counts in 32 bits
  std::size_t in_done = 0, out_done = 0;
  int state = Z_OK;
  while (state == Z_OK) {
    const auto in_now = static_cast<uInt>(std::min(packed.size() - in_done, kMost));
    const auto out_now = static_cast<uInt>(std::min(out.size() - out_done, kMost));
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data() + in_done));
    stream.avail_in = in_now;
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + out_done);
    stream.avail_out = out_now;
    state = inflate(&stream, Z_NO_FLUSH);
    in_done += in_now - stream.avail_in;
    out_done += out_now - stream.avail_out;
  }
  inflateEnd(&stream);
  if (state == Z_BUF_ERROR)  // no progress: input ran out, or output is full
    return in_done == packed.size() ? "its deflate stream ends too early"
                                    : "it inflates to more bytes than a chunk has";
  if (state != Z_STREAM_END) return "its deflate stream is damaged";
  if (out_done != out.size()) return "it inflates to fewer bytes than a chunk has";
  return "";
}

void unshuffle(std::span<const std::byte> in, std::span<std::byte> out, std::size_t element_bytes) {
  const std::size_t elements = in.size() / element_bytes;
  for (std::size_t b = 0; b < element_bytes; ++b) {
    const std::byte* from = in.data() + b * elements;
    std::byte* to = out.data() + b;
    for (std::size_t i = 0; i < elements; ++i) to[i * element_bytes] = from[i];
  }
  const std::size_t done = elements * element_bytes;
  std::copy(in.begin() + done, in.end(), out.begin() + done);
}

void swap_bytes(std::span<std::byte> bytes, std::size_t element_bytes) {
  if (element_bytes == 2) swap_elements<std::uint16_t>(bytes);
  if (element_bytes == 4) swap_elements<std::uint32_t>(bytes);
  if (element_bytes == 8) swap_elements<std::uint64_t>(bytes);
}

}  // namespace lockstep::data
