// The packers of codec.h: libdeflate or zlib, LZ4, Zstandard, LZF.
#ifdef LOCKSTEP_LIBDEFLATE
#include <libdeflate.h>
#else
#include <zlib.h>
#endif
#ifdef LOCKSTEP_LZ4
#include <lz4.h>
#endif
#ifdef LOCKSTEP_ZSTD
#include <zstd.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>

#include "codec.h"

namespace lockstep::data {
namespace {

constexpr const char* kTooLong = "it unpacks to more bytes than a chunk has";
constexpr const char* kTooShort = "it unpacks to fewer bytes than a chunk has";

#ifndef LOCKSTEP_LIBDEFLATE
struct Inflater {
  Inflater() : ready(inflateInit(&stream) == Z_OK) {}
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream stream{};
  bool ready;
};
#endif

template <class T>
T big_endian(const std::byte* from) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof value; ++i)
    value = static_cast<T>(value << 8 | std::to_integer<T>(from[i]));
  return value;
}

}  // namespace

#ifdef LOCKSTEP_LIBDEFLATE

const char* inflate_exactly(std::span<const std::byte> packed, std::span<std::byte> out) {
  struct Free {
    void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
  };
  thread_local const std::unique_ptr<libdeflate_decompressor, Free> decompressor(
      libdeflate_alloc_decompressor());
  if (!decompressor) return "libdeflate has no memory";
  std::size_t taken = 0, given = 0;
  switch (libdeflate_zlib_decompress_ex(decompressor.get(), packed.data(), packed.size(),
                                        out.data(), out.size(), &taken, &given)) {
    case LIBDEFLATE_SUCCESS:
      return given == out.size() ? "" : kTooShort;
    case LIBDEFLATE_INSUFFICIENT_SPACE:
      return kTooLong;
    default:
      return "its deflate stream is damaged";
  }
}

#else

const char* inflate_exactly(std::span<const std::byte> packed, std::span<std::byte> out) {
  thread_local Inflater inflater;
  z_stream& stream = inflater.stream;
  if (!inflater.ready || inflateReset(&stream) != Z_OK) return "zlib cannot start";
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
  if (state == Z_BUF_ERROR)  // no progress: input ran out, or output is full
    return in_done == packed.size() ? "its deflate stream ends too early" : kTooLong;
  if (state != Z_STREAM_END) return "its deflate stream is damaged";
  return out_done == out.size() ? "" : kTooShort;
}

#endif

const char* unpack_lz4([[maybe_unused]] std::span<const std::byte> packed,
                       [[maybe_unused]] std::span<std::byte> out) {
#ifdef LOCKSTEP_LZ4
  if (packed.size() < 12) return "its LZ4 header is cut off";
  const auto whole = big_endian<std::uint64_t>(packed.data());
  const std::uint64_t block =
      std::min<std::uint64_t>(big_endian<std::uint32_t>(packed.data() + 8), out.size());
  if (whole != out.size()) return whole > out.size() ? kTooLong : kTooShort;
  if (block == 0 && !out.empty()) return "its LZ4 header is damaged";
  std::size_t at = 12;
  for (std::size_t done = 0; done < out.size();) {
    const std::size_t wanted = std::min<std::size_t>(block, out.size() - done);
    if (packed.size() - at < 4) return "its LZ4 blocks end too early";
    const std::size_t stored = big_endian<std::uint32_t>(packed.data() + at);
    at += 4;
    if (packed.size() - at < stored) return "its LZ4 blocks end too early";
    if (stored == wanted) {
      std::memcpy(out.data() + done, packed.data() + at, wanted);
    } else if (stored > std::numeric_limits<int>::max() ||
               wanted > std::numeric_limits<int>::max() ||
               LZ4_decompress_safe(reinterpret_cast<const char*>(packed.data() + at),
                                   reinterpret_cast<char*>(out.data() + done),
                                   static_cast<int>(stored),
                                   static_cast<int>(wanted)) != static_cast<int>(wanted)) {
      return "an LZ4 block is damaged";
    }
    at += stored;
    done += wanted;
  }
  return "";
#else
  return "this build has no LZ4";
#endif
}

const char* unpack_zstd([[maybe_unused]] std::span<const std::byte> packed,
                        [[maybe_unused]] std::span<std::byte> out) {
#ifdef LOCKSTEP_ZSTD
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  thread_local const std::unique_ptr<ZSTD_DCtx, Free> context(ZSTD_createDCtx());
  if (!context) return "Zstandard has no memory";
  const std::size_t given =
      ZSTD_decompressDCtx(context.get(), out.data(), out.size(), packed.data(), packed.size());
  if (ZSTD_isError(given)) return "its Zstandard frame is damaged";
  return given == out.size() ? "" : kTooShort;
#else
  return "this build has no Zstandard";
#endif
}

// A control byte below 32 is followed by so many bytes and one to copy. Others begin with the
// length of a match less 2 (of 7, the next byte is added), then 5 bits and a byte of its distance
// less 1.
const char* unpack_lzf(std::span<const std::byte> packed, std::span<std::byte> out) {
  constexpr const char* kDamaged = "its LZF block is damaged";
  const auto number = [](std::byte b) { return std::to_integer<std::size_t>(b); };
  std::size_t at = 0, done = 0;
  while (at < packed.size()) {
    const std::size_t control = number(packed[at++]);
    if (control < 32) {
      const std::size_t count = control + 1;
      if (packed.size() - at < count) return kDamaged;
      if (out.size() - done < count) return kTooLong;
      std::memcpy(out.data() + done, packed.data() + at, count);
      at += count;
      done += count;
      continue;
    }
    std::size_t count = (control >> 5) + 2;
    if (packed.size() - at < (control >> 5 == 7 ? 2 : 1)) return kDamaged;
    if (control >> 5 == 7) count += number(packed[at++]);
    const std::size_t distance = ((control & 31) << 8 | number(packed[at++])) + 1;
    if (distance > done) return kDamaged;
    if (out.size() - done < count) return kTooLong;
    for (std::size_t i = 0; i < count; ++i, ++done)
      out[done] = out[done - distance];  // may overlap
  }
  return done == out.size() ? "" : kTooShort;
}

}  // namespace lockstep::data
