#include <gtest/gtest.h>

#include <bit>
#include <set>

#include "lockstep/core/error.h"
#include "train/checkpoint_blocks.h"
#include "train/train_state.h"

namespace lockstep::train {
namespace {

std::unique_ptr<comm::Communicator> alone() { return comm::make_communicator({}); }

TEST(Digest, changes_with_one_flipped_bit_of_any_tensor) {
  const auto self = alone();
  TestState s;
  const Hash128 before = digest(*self, s.state);
  std::set<std::string> seen{before.text()};
  for (FlatTensor& tensor : s.state.tensors) {
    for (const Parameter& p : s.table.parameters()) {
      for (std::int64_t i : {std::int64_t{0}, p.elements / 2, p.elements - 1}) {
        float& value = tensor.data[p.offset + i];
        const float kept = value;
        value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) ^ (1u << (i % 32)));
        const Hash128 after = digest(*self, s.state);
        EXPECT_NE(after, before) << tensor.name << "/" << p.name << " " << i;
        seen.insert(after.text());
        value = kept;
      }
    }
  }
  EXPECT_GT(seen.size(), 3 * s.table.parameters().size());
  EXPECT_EQ(digest(*self, s.state), before);
}

TEST(Digest, does_not_see_padding) {
  const auto self = alone();
  TestState s;
  const Hash128 before = digest(*self, s.state);
  const Parameter& p = s.table[0];  // one element on a granule of 64
  for (std::int64_t i = p.elements; i < kGranule; ++i) s.state.tensors[1].data[p.offset + i] = 7;
  EXPECT_EQ(digest(*self, s.state), before);
}

TEST(Digest, changes_with_any_entry_of_progress_and_its_name) {
  const auto self = alone();
  TestState s;
  const Hash128 before = digest(*self, s.state);
  const Progress kept = s.state.progress;
  const auto expect_change = [&](const std::string& what) {
    EXPECT_NE(digest(*self, s.state), before) << what;
    s.state.progress = kept;
  };
  for (const auto& [name, value] : kept.integers) {
    for (int bit : {0, 31, 63}) {
      s.state.progress.integers[name] = value ^ static_cast<std::int64_t>(std::uint64_t{1} << bit);
      expect_change(name);
    }
    s.state.progress.integers.erase(name);
    expect_change(name + " absent");
    s.state.progress.integers.erase(name);
    s.state.progress.integers[name + "x"] = value;
    expect_change(name + " renamed");
  }
  for (const auto& [name, value] : kept.reals) {
    s.state.progress.reals[name] = std::bit_cast<double>(std::bit_cast<std::uint64_t>(value) ^ 1);
    expect_change(name);
    s.state.progress.reals[name] = -value;
    expect_change("-" + name);
  }
  s.state.progress.integers["more"] = 0;
  expect_change("one more");
  s.state.progress.reals["step"] = 50;
  expect_change("a real with an integer's name");
}

TEST(Share, covers_all_blocks_in_order_and_evenly) {
  for (std::int64_t blocks : {0, 1, 2, 7, 31, 1000}) {
    for (int ranks : {1, 2, 3, 4, 5, 8}) {
      std::int64_t at = 0;
      for (int p = 0; p < ranks; ++p) {
        const BlockRange share = share_of(blocks, p, ranks);
        EXPECT_EQ(share.begin, at);
        EXPECT_LE(share.end - share.begin, (blocks + ranks - 1) / ranks);
        at = share.end;
      }
      EXPECT_EQ(at, blocks);
    }
  }
}

TEST(Stretches, are_the_blocks_of_a_share_and_stay_inside_parameters) {
  const TestState s;
  const auto per_tensor = static_cast<std::int64_t>(s.table.blocks().size());
  for (int ranks : {1, 2, 3, 7}) {
    std::int64_t number = 0;
    for (int p = 0; p < ranks; ++p) {
      for (const BlockSpan& span : spans_of(s.table, share_of(3 * per_tensor, p, ranks))) {
        EXPECT_EQ(span.tensor, number / per_tensor);
        EXPECT_EQ(span.first_block, number % per_tensor);
        std::int64_t elements = 0;
        for (int b = span.first_block; b < span.end_block; ++b) {
          EXPECT_EQ(s.table.blocks()[b].parameter, span.parameter);
          elements += s.table.blocks()[b].elements;
        }
        EXPECT_EQ(elements, span.elements);
        EXPECT_EQ(s.table.blocks()[span.first_block].begin, span.begin);
        number += span.end_block - span.first_block;
      }
    }
    EXPECT_EQ(number, 3 * per_tensor);
  }
}

// Shares of all, and blocks with holders: however they were dealt, the hashes come in one order.
TEST(Hashes, of_all_positions_come_in_the_order_of_the_state) {
  TestState s;
  const std::vector<Hash128> expected = hash_spans(s.state, held_spans(s.state, 0, 1));
  for (int ranks : {1, 2, 3, 7, 40}) {
    std::vector<int> dealt, alone(s.table.blocks().size(), ranks - 1);
    for (std::size_t b = 0; b < s.table.blocks().size(); ++b)
      dealt.push_back(static_cast<int>((b * 5 + 2) % ranks));
    s.state.tensors[1].holders = &dealt;
    s.state.tensors[2].holders = &alone;
    std::vector<Hash128> of_positions;
    for (int p = 0; p < ranks; ++p) {
      for (const Hash128& hash : hash_spans(s.state, held_spans(s.state, p, ranks)))
        of_positions.push_back(hash);
    }
    EXPECT_EQ(in_state_order(std::as_bytes(std::span(of_positions)), s.state, ranks), expected)
        << ranks;
  }
}

TEST(Coordinates, count_the_last_dimension_fastest) {
  EXPECT_EQ(coordinates_text({3, 5, 2}, 0), "0, 0, 0");
  EXPECT_EQ(coordinates_text({3, 5, 2}, 29), "2, 4, 1");
  EXPECT_EQ(coordinates_text({7}, 6), "6");
  EXPECT_EQ(coordinates_text({}, 0), "");
}

}  // namespace
}  // namespace lockstep::train
