#include "record_index.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr std::uint64_t kBlockBytes = 1 << 20, kMostBlocks = 65536;
constexpr std::size_t kPieceBytes = 4096;  // walks whose states coincide are joined at its end

// kAfterReturn: as kStart, but a line feed belongs to the line end before it. kQuoteSeen: a quote
// inside of quotes, which closes them or is the first of two.
enum State : std::uint8_t { kStart, kAfterReturn, kCell, kPlain, kQuoted, kQuoteSeen, kStates };
enum Kind : std::uint8_t { kOther, kBlank, kSeparator, kQuote, kFeed, kReturn, kKinds };

struct Step {
  State next = kPlain;
  bool record = false, line = false;  // begins a record, ends a line
};

using Steps = std::array<std::array<Step, kKinds>, kStates>;

constexpr Steps make_steps() {
  Steps steps{};
  for (const State s : {kStart, kAfterReturn, kCell, kPlain, kQuoteSeen}) {
    const bool begins = s == kStart || s == kAfterReturn;
    steps[s][kOther] = {kPlain, begins, false};
    steps[s][kBlank] = {begins ? kStart : kPlain, false, false};
    steps[s][kSeparator] = {kCell, begins, false};
    steps[s][kQuote] = {s == kPlain ? kPlain : kQuoted, begins, false};
    steps[s][kFeed] = {kStart, false, s != kAfterReturn};
    steps[s][kReturn] = {kAfterReturn, false, true};
  }
  for (int k = 0; k < kKinds; ++k) steps[kQuoted][static_cast<std::size_t>(k)].next = kQuoted;
  steps[kQuoted][kQuote].next = kQuoteSeen;
  steps[kQuoted][kFeed].line = true;
  return steps;
}

constexpr Steps kSteps = make_steps();

std::array<Kind, 256> kinds_of(const RecordRules& rules) {
  std::array<Kind, 256> kinds{};
  kinds['\n'] = kFeed;
  kinds['\r'] = kReturn;
  if (rules.skips_blanks) kinds[' '] = kinds['\t'] = kinds['\r'] = kBlank;
  if (rules.quotes) {
    kinds['"'] = kQuote;
    kinds[static_cast<unsigned char>(rules.separator)] = kSeparator;
  }
  return kinds;
}

// What a walk over some bytes saw.
struct Seen {
  std::int64_t records = 0, lines = 0, first = -1, lines_before_first = 0;
  State end = kStart;
};

// Inside of quotes only the next quote matters, and the lines until there.
std::size_t skip_quoted(bool quotes, std::span<const unsigned char> bytes, Seen& seen) {
  const void* quote = quotes ? std::memchr(bytes.data(), '"', bytes.size()) : nullptr;
  const auto length =
      quote == nullptr
          ? bytes.size()
          : static_cast<std::size_t>(static_cast<const unsigned char*>(quote) - bytes.data());
  seen.lines +=
      std::count(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length), '\n');
  return length;
}

void walk(const std::array<Kind, 256>& kinds, std::span<const unsigned char> bytes, Seen& seen) {
  State state = seen.end;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (state == kQuoted) i += skip_quoted(kinds['"'] == kQuote, bytes.subspan(i), seen);
    if (state == kPlain)
      while (i < bytes.size() && kinds[bytes[i]] == kOther) ++i;
    if (i == bytes.size()) break;
    const Step step = kSteps[state][kinds[bytes[i]]];
    if (step.record && seen.records++ == 0) {
      seen.first = static_cast<std::int64_t>(i);
      seen.lines_before_first = seen.lines;
    }
    seen.lines += step.line;
    state = step.next;
  }
  seen.end = state;
}

using BlockSeen = std::array<Seen, kStates>;  // by the state at the block's begin

void append(Seen& all, const Seen& piece, std::int64_t begin) {
  if (all.first < 0 && piece.first >= 0) {
    all.first = begin + piece.first;
    all.lines_before_first = all.lines + piece.lines_before_first;
  }
  all.records += piece.records;
  all.lines += piece.lines;
  all.end = piece.end;
}

BlockSeen walk_block(const std::array<Kind, 256>& kinds, std::span<const unsigned char> block) {
  BlockSeen seen;
  for (int s = 0; s < kStates; ++s) seen[static_cast<std::size_t>(s)].end = static_cast<State>(s);
  for (std::size_t at = 0; at < block.size(); at += kPieceBytes) {
    const auto piece = block.subspan(at, std::min(kPieceBytes, block.size() - at));
    std::array<bool, kStates> walked{};
    std::array<Seen, kStates> by_state;
    for (Seen& one : seen) {
      const State state = one.end;
      if (!walked[state]) {
        by_state[state] = Seen{};
        by_state[state].end = state;
        walk(kinds, piece, by_state[state]);
        walked[state] = true;
      }
      append(one, by_state[state], static_cast<std::int64_t>(at));
    }
  }
  return seen;
}

std::uint64_t unpacked_size(PositionedBytes& bytes) {
  if (bytes.size()) return *bytes.size();
  std::vector<char> block(kBlockBytes);
  std::uint64_t size = 0;
  while (const std::size_t n = bytes.read_at(size, block.data(), block.size())) size += n;
  return size;
}

// A byte order mark is no part of the first record.
std::uint64_t text_begin(PositionedBytes& bytes) {
  char mark[3] = {};
  return bytes.read_at(0, mark, 3) == 3 && std::memcmp(mark, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
}

}  // namespace

const RecordPlace& RecordIndex::before(std::int64_t record) const {
  const auto next =
      std::upper_bound(places.begin(), places.end(), record,
                       [](std::int64_t r, const RecordPlace& place) { return r < place.record; });
  LOCKSTEP_CHECK(next != places.begin(), "record {}", record);
  return *std::prev(next);
}

RecordIndex index_records(comm::Communicator& communicator, PositionedBytes& bytes,
                          const RecordRules& rules, Progress& progress) {
  RecordIndex index;
  std::uint64_t begin = 0, block_bytes = kBlockBytes;
  std::vector<BlockSeen> mine;
  communicator.together([&] {
    index.bytes = unpacked_size(bytes);
    begin = text_begin(bytes);
    const std::uint64_t size = index.bytes - begin;
    block_bytes = std::max(kBlockBytes, (size + kMostBlocks - 1) / kMostBlocks);
    const std::uint64_t blocks = (size + block_bytes - 1) / block_bytes;
    const auto ranks = static_cast<std::uint64_t>(communicator.size()),
               position = static_cast<std::uint64_t>(communicator.topology().position);
    const auto kinds = kinds_of(rules);
    std::vector<unsigned char> block(static_cast<std::size_t>(block_bytes));
    for (std::uint64_t b = blocks * position / ranks; b < blocks * (position + 1) / ranks; ++b) {
      const std::size_t n = bytes.read_at(begin + b * block_bytes, block.data(), block.size());
      if (n < std::min(block_bytes, size - b * block_bytes))
        throw DataError("{} changed while it was imported", bytes.name());
      mine.push_back(walk_block(kinds, std::span(block).first(n)));
      progress.add(static_cast<std::int64_t>(n * ranks));
    }
  });
  const auto all = communicator.gather_all(std::as_bytes(std::span(mine)));
  State state = kStart;
  std::int64_t line = 1;
  BlockSeen seen;
  for (std::size_t at = 0, b = 0; at < all.size(); at += sizeof seen, ++b) {
    std::memcpy(&seen, all.data() + at, sizeof seen);
    const Seen& block = seen[state];
    if (block.first >= 0)
      index.places.push_back({begin + b * block_bytes + static_cast<std::uint64_t>(block.first),
                              index.records, line + block.lines_before_first});
    index.records += block.records;
    line += block.lines;
    state = block.end;
  }
  return index;
}

}  // namespace lockstep::data
