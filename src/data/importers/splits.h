// Which samples of the training files go to which split: a seeded permutation deals them, and each
// split keeps the files' order. Two bits a sample. Knows no files.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/data/import.h"

namespace lockstep::data {

// Some of the numbers [0, n), ascending.
class Choice {
 public:
  Choice() = default;
  explicit Choice(std::int64_t all) : samples_(all) {}  // all of them
  explicit Choice(std::vector<std::uint64_t> bits);     // bit i of word w: 64 w + i
  std::int64_t samples() const { return samples_; }
  // The numbers at places [first, first + count).
  void take(std::int64_t first, std::int64_t count, std::vector<std::int64_t>& numbers) const;

 private:
  static constexpr std::size_t kWords = 64;  // between two counts
  std::vector<std::uint64_t> bits_;          // empty: all
  std::vector<std::int64_t> before_;         // how many are chosen before each kWords words
  std::int64_t samples_ = 0;
};

enum SplitKind : std::uint8_t { kTrain, kVal, kTest, kSplitKinds };
inline constexpr std::array<const char*, kSplitKinds> kSplitNames = {"train", "val", "test"};

// Of `samples` training samples; the test split is left empty if test files are given. Rank 0 holds
// 4 bytes a sample for a while. Collective. Throws UserError if none is left to train on.
std::array<Choice, kSplitKinds> deal_samples(comm::Communicator& communicator,
                                             const ImportOptions& options, std::int64_t samples,
                                             bool test_given);

}  // namespace lockstep::data
