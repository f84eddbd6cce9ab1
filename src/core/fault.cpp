#include "lockstep/core/fault.h"

#include <array>
#include <atomic>
#include <bit>
#include <charconv>
#include <chrono>
#include <csignal>
#include <deque>
#include <limits>
#include <sstream>
#include <string_view>
#include <thread>

#include "lockstep/core/error.h"
#include "lockstep/core/log.h"

namespace lockstep::fault {
namespace {

enum class Kind : std::uint8_t { kKill, kStop, kSlow, kNan, kFlip };
constexpr std::array<std::string_view, 5> kKinds{"kill", "stop", "slow", "nan", "flip"};
// Of a benchmark; of a run in the order in which it comes to them, the last three a checkpoint's.
constexpr std::array<std::string_view, 10> kPlaces{
    "bench", "start", "data", "forward", "gradient", "fold", "update", "snapshot", "write", "rename"};

struct Fault {
  Kind kind = Kind::kKill;
  std::string_view place;
  std::int64_t step = -1;  // -1: whichever is first
  std::int64_t lane = -1;  // likewise
  std::int64_t milliseconds = 0;
  std::atomic<bool> over = false;

  bool due(std::string_view where, std::int64_t at) const {
    if (place != where) return false;
    return step < 0 || (kind == Kind::kSlow ? at >= step : at == step);
  }
  bool take() { return kind == Kind::kSlow || !over.exchange(true); }
};

std::deque<Fault> faults;  // of this rank; grows in arm() only

[[noreturn]] void refuse(const std::string& text, const std::string& why) {
  throw UserError(
      "LOCKSTEP_FAULT = \"{}\": {}; write for example \"kill rank=1 at=fold step=12\" "
      "(docs/clusters.md)",
      text, why);
}

std::int64_t number(const std::string& text, std::string_view value) {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (error != std::errc() || end != value.data() + value.size() || n < 0)
    refuse(text, fmt::format("\"{}\" is not a number", value));
  return n;
}

template <std::size_t N>
std::size_t index_in(const std::array<std::string_view, N>& names, const std::string& text,
                     std::string_view name, std::string_view what) {
  for (std::size_t i = 0; i < N; ++i)
    if (names[i] == name) return i;
  std::string known;
  for (const std::string_view n : names) known += fmt::format("{}{}", known.empty() ? "" : ", ", n);
  refuse(text, fmt::format("\"{}\" is no {}: {}", name, what, known));
}

void arm_one(const std::string& text, const std::string& part, int rank) {
  std::istringstream words(part);
  std::string word;
  if (!(words >> word)) return;
  const Kind kind = static_cast<Kind>(index_in(kKinds, text, word, "kind of fault"));
  std::int64_t of_rank = -1, step = -1, lane = -1, milliseconds = 0;
  std::string_view place;
  while (words >> word) {
    const std::size_t sign = word.find('=');
    const std::string name = word.substr(0, sign),
                      value = sign == std::string::npos ? "" : word.substr(sign + 1);
    if (name == "rank") {
      of_rank = number(text, value);
    } else if (name == "step") {
      step = number(text, value);
    } else if (name == "lane") {
      lane = number(text, value);
    } else if (name == "ms") {
      milliseconds = number(text, value);
    } else if (name == "at") {
      place = kPlaces[index_in(kPlaces, text, value, "place")];
    } else {
      refuse(text, fmt::format("\"{}\" is not rank=, at=, step=, lane= or ms=", word));
    }
  }
  if (place.empty()) refuse(text, "at= is missing");
  log::warn("a failure on purpose is armed: {}", part);
  if (of_rank < 0) of_rank = lane < 0 ? 0 : rank;
  if (of_rank != rank) return;
  Fault& fault = faults.emplace_back();
  fault.kind = kind;
  fault.place = place;
  fault.step = step;
  fault.lane = lane;
  fault.milliseconds = milliseconds;
}

}  // namespace

void arm(const std::string& text, int rank) {
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ';');) arm_one(text, part, rank);
}

bool armed() { return !faults.empty(); }

void pass(const char* place, std::int64_t step) {
  if (faults.empty()) return;
  for (Fault& fault : faults) {
    if (fault.kind > Kind::kSlow || !fault.due(place, step) || !fault.take()) continue;
    if (fault.kind == Kind::kKill) std::raise(SIGKILL);
    if (fault.kind == Kind::kStop) std::raise(SIGSTOP);
    std::this_thread::sleep_for(std::chrono::milliseconds(fault.milliseconds));
  }
}

bool damages(const char* place, std::int64_t step, bool& flip, std::int64_t lane) {
  if (faults.empty()) return false;
  for (Fault& fault : faults) {
    if (fault.kind < Kind::kNan || (fault.lane >= 0 && fault.lane != lane)) continue;
    if (!fault.due(place, step) || !fault.take()) continue;
    flip = fault.kind == Kind::kFlip;
    return true;
  }
  return false;
}

float damaged(float x, bool flip, int bit) {
  if (!flip) return std::numeric_limits<float>::quiet_NaN();
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) ^ (1U << bit));
}

}  // namespace lockstep::fault
