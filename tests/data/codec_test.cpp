// Parts of the decoders that files of h5py do not reach, and the threads that decode.
#include "data/codec.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "data/chunk_filters.h"
#include "data/decode_pool.h"
#include "data/elements.h"

namespace lockstep::data {
namespace {

std::vector<std::byte> numbered(std::size_t bytes, unsigned step = 37) {
  std::vector<std::byte> all(bytes);
  for (std::size_t i = 0; i < bytes; ++i) all[i] = static_cast<std::byte>(i * step + i / 251);
  return all;
}

// As HDF5's format says it: 16-bit big-endian words, both sums modulo 65535 without a zero for
// 65535.
std::uint32_t plain_fletcher(const std::vector<std::byte>& bytes) {
  std::uint64_t low = 0, high = 0;
  const auto add = [](std::uint64_t a, std::uint64_t b) {
    const std::uint64_t sum = a + b;
    return sum > 65535 ? sum - 65535 : sum;
  };
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    std::uint64_t word = std::to_integer<std::uint64_t>(bytes[i]) << 8;
    if (i + 1 < bytes.size()) word |= std::to_integer<std::uint64_t>(bytes[i + 1]);
    low = add(low, word);
    high = add(high, low);
  }
  return static_cast<std::uint32_t>(high << 16 | low);
}

TEST(Codec, sums_as_fletcher_did_at_every_length) {
  for (const std::size_t bytes : {0, 1, 2, 3, 7, 31, 32, 33, 511, 512, 513, 1023, 5000, 100003})
    for (const unsigned step : {0U, 1U, 37U, 255U}) {
      const auto all = numbered(bytes, step);
      EXPECT_EQ(fletcher32(all), plain_fletcher(all)) << bytes << " " << step;
    }
  const std::vector<std::byte> high(70000, std::byte{0xff});
  EXPECT_EQ(fletcher32(high), plain_fletcher(high));
}

TEST(Codec, undoes_a_shuffle_of_any_width) {
  for (const std::size_t width : {1, 2, 3, 4, 8, 16})
    for (const std::size_t bytes : {0, 1, 7, 16, 31, 100, 1003}) {
      const auto plain = numbered(bytes);
      std::vector<std::byte> shuffled(bytes), out(bytes);
      const std::size_t n = bytes / width;
      for (std::size_t i = 0; i < bytes; ++i)
        shuffled[i < n * width ? i % width * n + i / width : i] = plain[i];
      unshuffle(shuffled, out, width);
      EXPECT_EQ(out, plain) << width << " " << bytes;
    }
}

TEST(Codec, refuses_streams_of_a_wrong_length) {
  const auto plain = numbered(1000);
  std::vector<std::byte> packed(compressBound(1000)), out(1000), longer(1001), shorter(999);
  uLongf size = packed.size();
  compress(reinterpret_cast<Bytef*>(packed.data()), &size,
           reinterpret_cast<const Bytef*>(plain.data()), 1000);
  packed.resize(size);
  EXPECT_STREQ(inflate_exactly(packed, out), "");
  EXPECT_EQ(out, plain);
  EXPECT_STRNE(inflate_exactly(packed, longer), "");
  EXPECT_STRNE(inflate_exactly(packed, shorter), "");
  EXPECT_STRNE(inflate_exactly(std::span(packed).first(size - 5), out), "");
  EXPECT_STREQ(inflate_exactly(packed, out), "");  // still good after a failure
}

// No bytes may make an unpacker write past its end, or take more than there are (ASan, valgrind).
TEST(Codec, bears_any_bytes) {
  std::uint64_t random = 99;
  std::vector<std::byte> out(333);
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(round % 97));
    for (std::byte& b : bytes) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      b = static_cast<std::byte>(random >> 56 & (round % 3 == 0 ? 0x3f : 0xff));
    }
    if (round % 2 == 0 && bytes.size() > 12) {  // a header of LZ4 that is right
      for (int i = 0; i < 12; ++i) bytes[static_cast<std::size_t>(i)] = std::byte{0};
      bytes[6] = std::byte{333 >> 8}, bytes[7] = std::byte{333 & 255}, bytes[11] = std::byte{50};
    }
    for (const auto unpack : {unpack_lzf, unpack_lz4, unpack_zstd, inflate_exactly})
      unpack(bytes, out);
    const std::int32_t filters[] = {kFletcher32, kShuffle, kLzf};
    undo_filters(filters, static_cast<std::uint32_t>(round % 8), 4, bytes, out);
  }
}

template <class T>
std::int64_t first_in(DType dtype, std::vector<T> values, std::size_t at, T bad) {
  if (at < values.size()) values[at] = bad;
  return first_not_finite(dtype, reinterpret_cast<const std::byte*>(values.data()),
                          static_cast<std::int64_t>(values.size()));
}

TEST(Elements, that_are_not_finite_are_found_in_every_width) {
  using F = std::numeric_limits<float>;
  using D = std::numeric_limits<double>;
  for (const std::size_t size : {1, 7, 4096, 5000})
    for (const std::size_t at : {std::size_t{0}, size / 2, size - 1, size}) {
      const auto found = static_cast<std::int64_t>(at);
      std::vector<float> f(size, F::lowest());
      f[size - 1] = F::max();
      std::vector<double> d(size, -D::max());
      std::vector<std::uint16_t> h(size, 0xfbff);  // the lowest half
      for (const float bad : {F::infinity(), -F::infinity(), F::quiet_NaN(), -F::quiet_NaN()}) {
        EXPECT_EQ(first_in(DType::kF32, f, at, bad), found);
        EXPECT_EQ(first_in(DType::kF64, d, at, double{bad}), found);
      }
      for (const std::uint16_t bad : {0x7c00, 0xfc00, 0x7e01, 0xfe00})
        EXPECT_EQ(first_in(DType::kF16, h, at, bad), found);
    }
}

TEST(DecodePool, does_every_task_once_on_any_number_of_threads) {
  for (const int threads : {1, 2, 3, 8}) {
    DecodePool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (const std::int64_t tasks : {0, 1, 2, 7, 100, 1000}) {
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(tasks));
      pool.run(tasks, [&](std::int64_t task, int thread) {
        ++done[static_cast<std::size_t>(task)];
        EXPECT_LT(thread, threads);
      });
      for (const auto& times : done) EXPECT_EQ(times, 1);
    }
  }
}

TEST(DecodePool, throws_what_the_lowest_task_threw) {
  for (const int threads : {1, 2, 4}) {
    DecodePool pool(threads);
    for (int round = 0; round < 200; ++round) {
      std::string said;
      try {
        pool.run(50, [&](std::int64_t task, int) {
          if (task % 10 == 7) throw std::runtime_error(std::to_string(task));
        });
      } catch (const std::runtime_error& error) {
        said = error.what();
      }
      EXPECT_EQ(said, "7");
    }
    int done = 0;
    pool.run(1, [&](std::int64_t, int) { ++done; });
    EXPECT_EQ(done, 1);
  }
}

}  // namespace
}  // namespace lockstep::data
