#include "train/checkpoint_blocks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "lockstep/core/error.h"

namespace lockstep::train {
namespace {

std::size_t blocks_of(const State& state) {
  return state.table->blocks().size() * state.tensors.size();
}

// Exponent bits that are all ones carry into the sign when one is added to the exponent.
bool all_finite(std::span<const float> values) {
  std::uint32_t carried = 0;
  for (const float value : values)
    carried |= (std::bit_cast<std::uint32_t>(value) & 0x7fffffffu) + 0x00800000u;
  return (carried >> 31) == 0;
}

[[noreturn]] void refuse_values(const State& state, const BlockSpan& span, int block,
                                std::span<const float> values) {
  const Parameter& p = (*state.table)[span.parameter];
  const auto bad = std::ranges::find_if(values, [](float v) { return !std::isfinite(v); });
  throw DataError(
      "the state is not saved because {}/{} [{}] is {}; the last good checkpoint is kept: "
      "resume from it with a lower optimizer.lr or with clipping",
      state.tensors[span.tensor].name, p.name,
      coordinates_text(p.shape,
                       state.table->blocks()[block].begin - p.offset + (bad - values.begin())),
      *bad);
}

void append(std::vector<std::byte>& bytes, const void* data, std::size_t size) {
  const auto* from = static_cast<const std::byte*>(data);
  bytes.insert(bytes.end(), from, from + size);
}

// Kind, name, its end, value: no two different maps give the same bytes.
template <class Value>
void append_entries(std::vector<std::byte>& bytes, char kind,
                    const std::map<std::string, Value>& entries) {
  static_assert(sizeof(Value) == 8);
  for (const auto& [name, value] : entries) {
    append(bytes, &kind, 1);
    append(bytes, name.c_str(), name.size() + 1);
    append(bytes, &value, sizeof(value));
  }
}

}  // namespace

BlockRange share_of(std::int64_t blocks, int position, int ranks) {
  const std::int64_t each = blocks / ranks, more = blocks % ranks;
  const auto begin = [&](std::int64_t p) { return p * each + std::min(p, more); };
  return {begin(position), begin(position + 1)};
}

std::vector<BlockRange> shares_of(const State& state, int position, int ranks) {
  const auto per_tensor = static_cast<std::int64_t>(state.table->blocks().size());
  std::vector<BlockRange> shares;
  const auto append = [&shares](std::int64_t begin, std::int64_t end) {
    if (begin == end) return;
    if (shares.empty() || shares.back().end != begin) shares.push_back({begin, begin});
    shares.back().end = end;
  };
  for (std::size_t t = 0; t < state.tensors.size(); ++t) {
    const std::int64_t first = static_cast<std::int64_t>(t) * per_tensor;
    const std::vector<int>* const holders = state.tensors[t].holders;
    if (holders == nullptr) {
      const BlockRange share = share_of(per_tensor, position, ranks);
      append(first + share.begin, first + share.end);
      continue;
    }
    for (std::int64_t b = 0; b < per_tensor; ++b) {
      if ((*holders)[b] == position) append(first + b, first + b + 1);
    }
  }
  return shares;
}

std::vector<BlockSpan> spans_of(const ParameterTable& table,
                                const std::vector<BlockRange>& ranges) {
  std::vector<BlockSpan> spans;
  for (const BlockRange& range : ranges) {
    for (const BlockSpan& span : spans_of(table, range)) spans.push_back(span);
  }
  return spans;
}

std::vector<HeldSpan> held_spans(const State& state, int position, int ranks) {
  std::vector<HeldSpan> held;
  for (const BlockSpan& span : spans_of(*state.table, shares_of(state, position, ranks)))
    held.push_back({span, state.tensors[span.tensor].data + span.begin});
  return held;
}

std::vector<BlockSpan> spans_of(const ParameterTable& table, BlockRange range) {
  const auto per_tensor = static_cast<std::int64_t>(table.blocks().size());
  std::vector<BlockSpan> spans;
  for (std::int64_t number = range.begin; number < range.end;) {
    const int tensor = static_cast<int>(number / per_tensor);
    const int first = static_cast<int>(number % per_tensor);
    const int parameter = table.blocks()[first].parameter;
    const int end = static_cast<int>(
        std::min<std::int64_t>(table.end_block(parameter), first + (range.end - number)));
    const Block& last = table.blocks()[end - 1];
    const std::int64_t begin = table.blocks()[first].begin;
    spans.push_back({tensor, parameter, first, end, begin, last.begin + last.elements - begin});
    number += end - first;
  }
  return spans;
}

std::vector<Hash128> hash_spans(const State& state, std::span<const HeldSpan> spans,
                                Numbers allowed) {
  std::vector<Hash128> hashes;
  for (const auto& [span, numbers] : spans) {
    for (int b = span.first_block; b < span.end_block; ++b) {
      const Block& block = state.table->blocks()[b];
      const std::span<const float> values(numbers + (block.begin - span.begin),
                                          static_cast<std::size_t>(block.elements));
      // Both while the block is in cache.
      if (allowed == Numbers::kFinite && !all_finite(values)) refuse_values(state, span, b, values);
      hashes.push_back(hash_bytes(values.data(), values.size_bytes()));
    }
  }
  return hashes;
}

std::vector<Hash128> in_state_order(std::span<const std::byte> of_positions, const State& state,
                                    int ranks) {
  const std::size_t blocks = blocks_of(state);
  LOCKSTEP_CHECK(of_positions.size() == blocks * sizeof(Hash128), "{} bytes of {} hashes",
                 of_positions.size(), blocks);
  const auto per_tensor = static_cast<std::int64_t>(state.table->blocks().size());
  // Of each block the position that has hashed it: the bounds of the even shares, or its holder.
  std::vector<std::int64_t> bounds;
  for (int p = 0; p < ranks; ++p) bounds.push_back(share_of(per_tensor, p, ranks).end);
  const auto each = [&](const auto& visit) {
    for (std::size_t t = 0; t < state.tensors.size(); ++t) {
      const std::vector<int>* const holders = state.tensors[t].holders;
      int share = 0;
      for (std::int64_t b = 0; b < per_tensor; ++b) {
        while (b >= bounds[share]) ++share;
        visit(holders != nullptr ? (*holders)[b] : share,
              t * static_cast<std::size_t>(per_tensor) + static_cast<std::size_t>(b));
      }
    }
  };
  std::vector<std::size_t> next(static_cast<std::size_t>(ranks) + 1, 0);
  each([&](int position, std::size_t) { ++next[static_cast<std::size_t>(position) + 1]; });
  for (std::size_t p = 1; p < next.size(); ++p) next[p] += next[p - 1];
  std::vector<Hash128> hashes(blocks);
  each([&](int position, std::size_t number) {
    std::memcpy(&hashes[number], of_positions.data() + next[position]++ * sizeof(Hash128),
                sizeof(Hash128));
  });
  return hashes;
}

Hash128 digest_of(std::span<const Hash128> hashes, const Progress& progress) {
  std::vector<std::byte> bytes;
  bytes.reserve(hashes.size_bytes());
  append(bytes, hashes.data(), hashes.size_bytes());
  append_entries(bytes, 'i', progress.integers);
  append_entries(bytes, 'r', progress.reals);
  return hash_bytes(bytes.data(), bytes.size());
}

Hash128 digest(comm::Communicator& communicator, const State& state) {
  const comm::Topology& topology = communicator.topology();
  const auto mine = hash_spans(state, held_spans(state, topology.position, topology.ranks()));
  const auto all = communicator.gather_all(std::as_bytes(std::span(mine)));
  return digest_of(in_state_order(all, state, topology.ranks()), state.progress);
}

void refuse_nan(const Progress& progress) {
  // Infinity is what "best" is before the first evaluation; NaN never is a sound value.
  for (const auto& [name, value] : progress.reals) {
    if (!std::isnan(value)) continue;
    throw DataError(
        "the state is not saved because its entry '{}' is NaN; the last good checkpoint "
        "is kept: resume from it with a lower optimizer.lr or with clipping",
        name);
  }
}

std::string coordinates_text(const Shape& shape, std::int64_t index) {
  std::string text;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    text = fmt::format("{}{}{}", index % shape[d], text.empty() ? "" : ", ", text);
    index /= shape[d];
  }
  return text;
}

}  // namespace lockstep::train
