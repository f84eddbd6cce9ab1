#include "train/checkpoint_blocks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lockstep/core/error.h"

namespace lockstep::train {
namespace {

std::size_t blocks_of(const State& state) {
  return state.table->blocks().size() * state.tensors.size();
}

std::vector<Stretch> my_stretches(const comm::Communicator& communicator, const State& state) {
  const comm::Topology& topology = communicator.topology();
  return stretches_of(*state.table, shares_of(state, topology.position, topology.ranks()));
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

std::vector<Stretch> stretches_of(const ParameterTable& table,
                                  const std::vector<BlockRange>& ranges) {
  std::vector<Stretch> stretches;
  for (const BlockRange& range : ranges) {
    for (const Stretch& stretch : stretches_of(table, range)) stretches.push_back(stretch);
  }
  return stretches;
}

std::vector<Stretch> stretches_of(const ParameterTable& table, BlockRange range) {
  const auto per_tensor = static_cast<std::int64_t>(table.blocks().size());
  std::vector<Stretch> stretches;
  for (std::int64_t number = range.begin; number < range.end;) {
    const int tensor = static_cast<int>(number / per_tensor);
    const int first = static_cast<int>(number % per_tensor);
    const int parameter = table.blocks()[first].parameter;
    const int end = static_cast<int>(
        std::min<std::int64_t>(table.end_block(parameter), first + (range.end - number)));
    const Block& last = table.blocks()[end - 1];
    const std::int64_t begin = table.blocks()[first].begin;
    stretches.push_back({tensor, parameter, first, end, begin, last.begin + last.elements - begin});
    number += end - first;
  }
  return stretches;
}

std::vector<Hash128> hash_blocks(comm::Communicator& communicator, const State& state) {
  std::vector<Hash128> mine;
  for (const Stretch& s : my_stretches(communicator, state)) {
    for (int b = s.first_block; b < s.end_block; ++b) {
      const Block& block = state.table->blocks()[b];
      mine.push_back(hash_bytes(state.tensors[s.tensor].data + block.begin,
                                static_cast<std::size_t>(block.elements) * sizeof(float)));
    }
  }
  const std::vector<std::byte> all = communicator.gather_all(std::as_bytes(std::span(mine)));
  LOCKSTEP_CHECK(all.size() == blocks_of(state) * sizeof(Hash128), "{} bytes of {} hashes",
                 all.size(), blocks_of(state));
  std::vector<Hash128> hashes(blocks_of(state));
  const std::byte* next = all.data();
  const int ranks = communicator.topology().ranks();
  for (int position = 0; position < ranks; ++position) {
    for (const BlockRange& share : shares_of(state, position, ranks)) {
      const auto bytes = static_cast<std::size_t>(share.end - share.begin) * sizeof(Hash128);
      std::memcpy(&hashes[share.begin], next, bytes);
      next += bytes;
    }
  }
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
  return digest_of(hash_blocks(communicator, state), state.progress);
}

void refuse_non_finite(comm::Communicator& communicator, const State& state) {
  communicator.together([&] {
    for (const Stretch& s : my_stretches(communicator, state)) {
      const float* values = state.tensors[s.tensor].data;
      for (std::int64_t i = s.begin; i < s.begin + s.elements; ++i) {
        if (std::isfinite(values[i])) continue;
        const Parameter& p = (*state.table)[s.parameter];
        throw DataError(
            "the state is not saved because {}/{} [{}] is {}; the last good checkpoint is kept: "
            "resume from it with a lower optimizer.lr or with clipping",
            state.tensors[s.tensor].name, p.name, coordinates_text(p.shape, i - p.offset),
            values[i]);
      }
    }
    // Infinity is what "best" is before the first evaluation; NaN never is a sound value.
    for (const auto& [name, value] : state.progress.reals) {
      if (!std::isnan(value)) continue;
      throw DataError(
          "the state is not saved because its entry '{}' is NaN; the last good checkpoint "
          "is kept: resume from it with a lower optimizer.lr or with clipping",
          name);
    }
  });
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
