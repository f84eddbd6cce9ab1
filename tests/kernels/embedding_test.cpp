// Rows of a table and the gradient of the table against a loop over the places, bit for bit.
#include "kernels/embedding.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/device_array.h"

namespace lockstep::kernels {
namespace {

using Floats = std::vector<float>;
using Ints = std::vector<std::int32_t>;

Floats uniform(std::int64_t n, unsigned seed) {
  std::mt19937 bits(seed);
  Floats x(n);
  for (float& value : x) value = static_cast<float>(bits() / 2147483648.0 - 1);
  return x;
}
// Small numbers come more often, as in text.
Ints tokens(std::int64_t n, std::int64_t vocabulary) {
  std::mt19937 bits(7);
  Ints ids(n);
  for (auto& id : ids) {
    const double u = bits() / 4294967296.0;
    id = static_cast<std::int32_t>(u * u * u * static_cast<double>(vocabulary));
  }
  return ids;
}

const std::vector<EmbeddingShape>& shapes() {
  static const auto all = shapes_to_try<EmbeddingShape>({{1, 1, 1},
                                                         {1, 7, 4},
                                                         {7, 7, 3},
                                                         {31, 1, 33},
                                                         {32, 33, 32},
                                                         {33, 255, 128},
                                                         {1000, 256, 5},
                                                         {1023, 257, 8},
                                                         {1024, 1009, 7},
                                                         {1025, 1, 4},
                                                         {3001, 40, 12},
                                                         {5003, 9, 1},
                                                         {200, 50257, 4},
                                                         {64, 65535, 1},
                                                         {64, 65536, 1},
                                                         {9, 70001, 3},
                                                         {40, 3, 1032}},
                                                        {{33, 255, 32}, {1030, 300, 5}});
  return all;
}
std::string text(const EmbeddingShape& s) {
  return std::to_string(s.rows) + " of " + std::to_string(s.vocabulary) + " x " +
         std::to_string(s.width);
}

template <class T>
void expect_rows(const EmbeddingShape& s) {
  const Ints ids = tokens(s.rows, s.vocabulary);
  std::vector<T> table;
  for (const float x : uniform(s.vocabulary * s.width, 1)) table.push_back(static_cast<T>(x));
  const DeviceArray<std::int32_t> device_ids(ids);
  const DeviceArray<T> device_table(table), y(s.rows * s.width);
  embedding(s, device_ids.data(), device_table.data(), y.data(), nullptr);
  const auto got = y.host();
  for (std::int64_t r = 0; r < s.rows; ++r)
    for (std::int64_t c = 0; c < s.width; ++c)
      ASSERT_EQ(float(got[r * s.width + c]), float(table[ids[r] * s.width + c])) << r << " " << c;
}

TEST(Embedding, copies_rows) {
  for (const EmbeddingShape& s : shapes()) {
    SCOPED_TRACE(text(s));
    expect_rows<float>(s);
    expect_rows<__nv_bfloat16>(s);
  }
}

enum class From { kZero, kElsewhere, kInPlace };

Floats gradient(const EmbeddingShape& s, const Ints& ids, const Floats& dy, const Floats& carried,
                From from) {
  const DeviceArray<std::int32_t> device_ids(ids);
  const DeviceArray<float> device_dy(dy), elsewhere(carried);
  const DeviceArray<float> to =
      from == From::kInPlace ? DeviceArray<float>(carried) : DeviceArray<float>(carried.size());
  const DeviceArray<char> workspace(embedding_workspace(s));
  embedding_backward(s, device_ids.data(), device_dy.data(),
                     from == From::kZero      ? nullptr
                     : from == From::kInPlace ? to.data()
                                              : elsewhere.data(),
                     to.data(), workspace.data(), nullptr);
  workspace.host();
  return to.host();
}

void expect_same_bits(const Floats& got, const Floats& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(want[i])) << i;
}

TEST(Embedding, adds_gradients_in_the_order_of_the_places) {
  for (const EmbeddingShape& s : shapes()) {
    SCOPED_TRACE(text(s));
    const Ints ids = tokens(s.rows, s.vocabulary);
    const Floats dy = uniform(s.rows * s.width, 2), carried = uniform(s.vocabulary * s.width, 3);
    Floats want(carried.size()), added = carried;
    for (std::int64_t r = 0; r < s.rows; ++r)
      for (std::int64_t c = 0; c < s.width; ++c)
        for (Floats* to : {&want, &added}) (*to)[ids[r] * s.width + c] += dy[r * s.width + c];
    expect_same_bits(gradient(s, ids, dy, carried, From::kZero), want);
    expect_same_bits(gradient(s, ids, dy, carried, From::kElsewhere), added);
    expect_same_bits(gradient(s, ids, dy, carried, From::kInPlace), added);
    const DeviceArray<std::int32_t> device_ids(ids);
    const DeviceArray<float> device_dy(dy), to(carried);
    embedding_backward_reference(s, device_ids.data(), device_dy.data(), to.data(), nullptr);
    expect_same_bits(to.host(), added);
  }
}

// More than 16 tiles of 1024 rows: the counts of their digits are summed in more than one turn.
TEST(Embedding, sorts_many_rows) {
  const EmbeddingShape s{17001, 40, 1};
  const Ints ids = tokens(s.rows, s.vocabulary);
  const Floats dy = uniform(s.rows, 2);
  Floats want(s.vocabulary);
  for (std::int64_t r = 0; r < s.rows; ++r) want[ids[r]] += dy[r];
  expect_same_bits(gradient(s, ids, dy, Floats(s.vocabulary), From::kZero), want);
}

TEST(Embedding, makes_numbers_outside_the_table_seen) {
  const EmbeddingShape s{6, 5, 3};
  const Ints ids = {4, -1, 5, 0, 1 << 30, 260};
  const Floats table = uniform(15, 1), dy = uniform(18, 2);
  const DeviceArray<std::int32_t> device_ids(ids);
  const DeviceArray<float> device_table(table), y(18);
  embedding(s, device_ids.data(), device_table.data(), y.data(), nullptr);
  const Floats got = y.host();
  for (int r = 0; r < 6; ++r) EXPECT_EQ(std::isnan(got[3 * r]), r != 0 && r != 3) << r;
  Floats want(15);
  for (int c = 0; c < 3; ++c) want[12 + c] = dy[c], want[c] = dy[9 + c];
  EXPECT_EQ(gradient(s, ids, dy, table, From::kZero), want);
}

TEST(Embedding, lets_nan_through) {
  const EmbeddingShape s{2, 2, 3};
  const Floats got = gradient(s, {0, 1}, {0, 0, 0, 0, 0, NAN}, Floats(6), From::kZero);
  EXPECT_TRUE(std::isnan(got[5]));
  EXPECT_EQ(got[4], 0);
}

}  // namespace
}  // namespace lockstep::kernels
