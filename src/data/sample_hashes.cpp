#include "sample_hashes.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <span>
#include <tuple>
#include <utility>

namespace lockstep::data {
namespace {

constexpr std::size_t kExamples = 3;

using Pair = std::pair<std::int64_t, std::int64_t>;  // first split, split

struct Found {
  std::int64_t count = 0;
  std::vector<Repeat> examples;
};

auto order_of(const SampleHash& s) { return std::tie(s.hash.high, s.hash.low, s.split, s.row); }

int owner_of(const SampleHash& sample, int ranks) {
  return static_cast<int>(sample.hash.low % static_cast<std::uint64_t>(ranks));
}

// To each rank those that it compares.
std::vector<SampleHash> exchange(comm::Communicator& communicator, std::vector<SampleHash> mine) {
  const int ranks = communicator.size();
  if (ranks == 1) return mine;
  std::sort(mine.begin(), mine.end(), [&](const SampleHash& a, const SampleHash& b) {
    return owner_of(a, ranks) < owner_of(b, ranks);
  });
  std::vector<SampleHash> own;
  auto begin = mine.begin();
  for (int rank = 0; rank < ranks; ++rank) {
    const auto end = std::find_if(begin, mine.end(),
                                  [&](const SampleHash& s) { return owner_of(s, ranks) != rank; });
    communicator.gather(std::as_bytes(std::span(begin, end)), rank,
                        [&](int, std::span<const std::byte> bytes) {
                          const std::size_t before = own.size();
                          own.resize(before + bytes.size() / sizeof(SampleHash));
                          if (!bytes.empty())
                            std::memcpy(own.data() + before, bytes.data(), bytes.size());
                        });
    begin = end;
  }
  return own;
}

void keep_first(std::vector<Repeat>& examples) {
  std::sort(examples.begin(), examples.end());
  if (examples.size() > kExamples) examples.resize(kExamples);
}

// A sample that is in several splits counts once for each split before its own, and once within its
// own if it is there before.
std::map<Pair, Found> find_own(std::vector<SampleHash> own) {
  std::sort(own.begin(), own.end(),
            [](const SampleHash& a, const SampleHash& b) { return order_of(a) < order_of(b); });
  std::map<Pair, Found> found;
  for (auto begin = own.begin(); begin != own.end();) {
    const auto end = std::find_if(begin, own.end(),
                                  [&](const SampleHash& s) { return !(s.hash == begin->hash); });
    std::map<std::int64_t, std::int64_t> first_rows;  // by split
    for (; begin != end; ++begin) {
      for (const auto& [split, row] : first_rows) {
        Found& pair = found[{split, begin->split}];
        ++pair.count;
        pair.examples.push_back({begin->split, begin->row, split, row});
        if (pair.examples.size() > 64 * kExamples) keep_first(pair.examples);
      }
      first_rows.try_emplace(begin->split, begin->row);
    }
  }
  return found;
}

}  // namespace

std::vector<Repeats> find_repeats(comm::Communicator& communicator, std::vector<SampleHash> mine) {
  std::map<Pair, Found> found = find_own(exchange(communicator, std::move(mine)));
  // As numbers: splits, count, how many examples, they.
  std::vector<std::int64_t> numbers;
  for (auto& [pair, own] : found) {
    keep_first(own.examples);
    for (const std::int64_t n :
         {pair.first, pair.second, own.count, static_cast<std::int64_t>(own.examples.size())})
      numbers.push_back(n);
    for (const Repeat& r : own.examples)
      for (const std::int64_t n : {r.split, r.row, r.first_split, r.first_row})
        numbers.push_back(n);
  }
  const auto bytes = communicator.gather_all(std::as_bytes(std::span(numbers)));
  numbers.resize(bytes.size() / sizeof(std::int64_t));
  if (!bytes.empty()) std::memcpy(numbers.data(), bytes.data(), bytes.size());
  found.clear();
  for (auto n = numbers.begin(); n != numbers.end();) {
    Found& all = found[{n[0], n[1]}];
    all.count += n[2];
    const std::int64_t examples = n[3];
    n += 4;
    for (std::int64_t i = 0; i < examples; ++i, n += 4)
      all.examples.push_back({n[0], n[1], n[2], n[3]});
  }
  std::vector<Repeats> repeats;
  for (auto& [pair, all] : found) {
    keep_first(all.examples);
    repeats.push_back({pair.first, pair.second, all.count, std::move(all.examples)});
  }
  return repeats;
}

}  // namespace lockstep::data
