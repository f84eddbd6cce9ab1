#include "tests/ptx/instructions/warp.h"

#include <algorithm>

namespace lockstep::ptx {

namespace {

constexpr int kWarp = 32;

template <class T>
T& of(void* const* operands, int lane) {
  return *static_cast<T*>(operands[lane]);
}

template <class F>
void for_lanes(unsigned mask, F f) {
  for (; mask != 0; mask &= mask - 1) f(__builtin_ctz(mask));
}

struct ShuffleOperand {
  std::uint32_t value;
  int source;  // a lane; its own where the source is outside the segment
  std::uint32_t result;
};

void complete_shuffle(void* const* operands, unsigned mask) {
  for_lanes(mask, [&](int lane) {
    auto& own = of<ShuffleOperand>(operands, lane);
    own.result = mask >> own.source & 1 ? of<ShuffleOperand>(operands, own.source).value : ~0u;
  });
}

struct VoteOperand {
  bool vote;
  std::uint32_t result;
};

void complete_vote(void* const* operands, unsigned mask) {
  std::uint32_t votes = 0;
  for_lanes(mask, [&](int lane) {
    votes |= static_cast<std::uint32_t>(of<VoteOperand>(operands, lane).vote) << lane;
  });
  for_lanes(mask, [&](int lane) { of<VoteOperand>(operands, lane).result = votes; });
}

struct MatchOperand {
  std::uint64_t value;
  std::uint32_t result;
};

void complete_match(void* const* operands, unsigned mask) {
  for_lanes(mask, [&](int lane) {
    auto& own = of<MatchOperand>(operands, lane);
    own.result = 0;
    for_lanes(mask, [&](int other) {
      if (of<MatchOperand>(operands, other).value == own.value) own.result |= 1u << other;
    });
  });
}

struct ReduxOperand {
  Reduction kind;
  std::uint32_t value;
  std::uint32_t result;
};

std::uint32_t combined(Reduction kind, std::uint32_t a, std::uint32_t b) {
  const auto x = static_cast<std::int32_t>(a), y = static_cast<std::int32_t>(b);
  switch (kind) {
    case Reduction::kAdd:
      return a + b;
    case Reduction::kMin:
      return std::min(a, b);
    case Reduction::kMax:
      return std::max(a, b);
    case Reduction::kMinSigned:
      return static_cast<std::uint32_t>(std::min(x, y));
    case Reduction::kMaxSigned:
      return static_cast<std::uint32_t>(std::max(x, y));
    case Reduction::kAnd:
      return a & b;
    case Reduction::kOr:
      return a | b;
    default:
      return a ^ b;
  }
}

void complete_redux(void* const* operands, unsigned mask) {
  const int first = __builtin_ctz(mask);
  std::uint32_t result = of<ReduxOperand>(operands, first).value;
  for_lanes(mask & (mask - 1), [&](int lane) {
    const auto& own = of<ReduxOperand>(operands, lane);
    result = combined(own.kind, result, own.value);
  });
  for_lanes(mask, [&](int lane) { of<ReduxOperand>(operands, lane).result = result; });
}

}  // namespace

Shuffled shuffle(Thread& self, Shuffle kind, std::uint32_t value, std::uint32_t distance,
                 std::uint32_t control, std::uint32_t mask, const char* at) {
  const int lane = static_cast<int>(self.warp_lane), by = static_cast<int>(distance % kWarp);
  const int segment = static_cast<int>(control >> 8 & 31), clamp = static_cast<int>(control & 31);
  const int first = lane & segment, last = first | (clamp & ~segment);
  int source = lane;
  bool valid = true;
  switch (kind) {
    case Shuffle::kUp:
      source = lane - by;
      valid = source >= last;
      break;
    case Shuffle::kDown:
      source = lane + by;
      valid = source <= last;
      break;
    case Shuffle::kButterfly:
      source = lane ^ by;
      valid = source <= last;
      break;
    case Shuffle::kIndex:
      source = first | (by & ~segment);
      valid = source <= last;
      break;
  }
  ShuffleOperand operand{value, valid ? source : lane, 0};
  collective(self, mask, &operand, complete_shuffle, at);
  return {operand.result, valid};
}

std::uint32_t ballot(Thread& self, std::uint32_t mask, bool vote, const char* at) {
  VoteOperand operand{vote, 0};
  collective(self, mask, &operand, complete_vote, at);
  return operand.result;
}

std::uint32_t match(Thread& self, std::uint32_t mask, std::uint64_t value, bool all,
                    const char* at) {
  MatchOperand operand{value, 0};
  collective(self, mask, &operand, complete_match, at);
  return all && operand.result != mask ? 0 : operand.result;
}

std::uint32_t redux(Thread& self, Reduction kind, std::uint32_t mask, std::uint32_t value,
                    const char* at) {
  ReduxOperand operand{kind, value, 0};
  collective(self, mask, &operand, complete_redux, at);
  return operand.result;
}

}  // namespace lockstep::ptx
