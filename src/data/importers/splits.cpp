#include "splits.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "lockstep/core/error.h"
#include "lockstep/core/philox.h"

namespace lockstep::data {
namespace {

// The stream of numbers that chooses the splits; epochs never reach it.
constexpr std::uint64_t kSplitStream = std::numeric_limits<std::uint64_t>::max() - 1;
constexpr int kBits = 64;

std::int64_t share(std::int64_t samples, double fraction, const char* name) {
  if (!(fraction >= 0 && fraction < 1))
    throw UserError("{} is {}; it must be at least 0 and below 1", name, fraction);
  return std::llround(static_cast<double>(samples) * fraction);
}

using Bits = std::vector<std::uint64_t>;
void set(Bits& bits, std::uint32_t i) { bits[i / kBits] |= std::uint64_t{1} << (i % kBits); }

}  // namespace

Choice::Choice(Bits bits) : bits_(std::move(bits)) {
  for (std::size_t w = 0; w < bits_.size(); ++w) {
    if (w % kWords == 0) before_.push_back(samples_);
    samples_ += std::popcount(bits_[w]);
  }
  if (bits_.empty()) bits_.push_back(0), before_.push_back(0);
}

void Choice::take(std::int64_t first, std::int64_t count,
                  std::vector<std::int64_t>& numbers) const {
  numbers.clear();
  if (bits_.empty()) {
    for (std::int64_t i = 0; i < count; ++i) numbers.push_back(first + i);
    return;
  }
  if (count == 0) return;
  const auto block = std::upper_bound(before_.begin(), before_.end(), first) - before_.begin() - 1;
  std::int64_t place = before_[static_cast<std::size_t>(block)];
  for (auto w = static_cast<std::size_t>(block) * kWords; count > 0; ++w) {
    std::uint64_t word = bits_[w];
    const std::int64_t here = std::popcount(word);
    if (place + here <= first) {
      place += here;
      continue;
    }
    for (; word != 0 && count > 0; word &= word - 1) {
      if (place++ < first) continue;
      numbers.push_back(static_cast<std::int64_t>(w) * kBits + std::countr_zero(word));
      --count;
    }
  }
}

std::array<Choice, kSplitKinds> deal_samples(comm::Communicator& communicator,
                                             const ImportOptions& options, std::int64_t samples,
                                             bool test_given) {
  const std::int64_t val = share(samples, options.val_fraction, "val_fraction");
  const std::int64_t test = test_given ? 0 : share(samples, options.test_fraction, "test_fraction");
  if (val + test >= samples)
    throw UserError("{} samples leave none to train on with val_fraction {} and test_fraction {}",
                    samples, options.val_fraction, options.test_fraction);
  if (val + test == 0) return {Choice(samples), Choice(0), Choice(0)};
  constexpr std::int64_t kMost = std::numeric_limits<std::uint32_t>::max();
  if (samples > kMost)
    throw UserError(
        "{} samples are more than the {} that can be dealt to splits; give "
        "--val-fraction 0 and files of their own to the other splits",
        samples, kMost);
  const auto words = static_cast<std::size_t>((samples + kBits - 1) / kBits);
  Bits bits[kSplitKinds] = {Bits(words), Bits(words), Bits(words)};
  communicator.together([&] {
    if (communicator.rank() != 0) return;
    std::vector<std::uint32_t> chosen(static_cast<std::size_t>(samples));
    permutation(options.seed, kSplitStream, 0, 0, static_cast<std::uint32_t>(samples),
                chosen.data());
    for (std::int64_t i = 0; i < samples; ++i)
      set(bits[i < val          ? kVal
               : i < val + test ? kTest
                                : kTrain],
          chosen[static_cast<std::size_t>(i)]);
  });
  for (Bits& b : bits) communicator.broadcast(std::as_writable_bytes(std::span(b)), 0);
  return {Choice(std::move(bits[0])), Choice(std::move(bits[1])), Choice(std::move(bits[2]))};
}

}  // namespace lockstep::data
