// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: trace event
// format.
#include "train/timeline_json.h"

#include <algorithm>
#include <bit>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "lockstep/core/error.h"
#include "lockstep/train/timeline.h"
#include "train/timeline_moments.h"
#include "train/timeline_ops.h"

namespace lockstep::train {
namespace {

using events::Kind;
using events::Record;
using events::Ring;

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string meta(const char* name, int rank, std::size_t thread, const std::string& value) {
  return fmt::format(R"({{"ph":"M","name":"{}","pid":{},"tid":{},"args":{{{}}}}})", name, rank,
                     thread, value);
}

std::string microseconds(std::int64_t ns) { return fmt::format("{}.{:03}", ns / 1000, ns % 1000); }

// A rank's records, thread by thread.
class Lines {
 public:
  Lines(const Ring& ring, std::int64_t first)
      : ring_(ring), first_(first), ops_(ring.note), last_(last_sign(ring) - first) {}

  std::string text() {
    lines_.push_back(
        meta("process_name", ring_.rank, 0,
             R"("name":)" + quoted(fmt::format("rank {} ({})", ring_.rank, ring_.host))));
    lines_.push_back(
        meta("process_sort_index", ring_.rank, 0, fmt::format(R"("sort_index":{})", ring_.rank)));
    for (thread_ = 0; thread_ < ring_.threads.size(); ++thread_) append(ring_.threads[thread_]);
    return fmt::format("{}", fmt::join(lines_, ",\n"));
  }

 private:
  void append(const Ring::Thread& thread) {
    const std::string name = thread.name.empty() ? fmt::format("thread {}", thread_) : thread.name;
    lines_.push_back(meta("thread_name", ring_.rank, thread_, R"("name":)" + quoted(name)));
    std::vector<Record> records = thread.done;
    records.insert(records.end(), thread.open.begin(), thread.open.end());
    std::ranges::stable_sort(records, {}, [](const Record& r) {
      return std::pair(r.begin, r.depth);  // whoever holds others comes first
    });
    for (const Record& r : records) append(r);
  }

  void append(const Record& r) {
    const Kind kind = static_cast<Kind>(r.kind);
    if (kind == Kind::kCounter) return count(r);
    if (kind == Kind::kArrival) return flow(r, "f", r.peer, ring_.rank);
    const bool open = r.end == 0;
    // Whoever sends, or reads from peers, has no span of its own for it.
    const bool moment = kind == Kind::kFailure || (r.end == r.begin && !open);
    std::string line =
        event(moment ? "i" : "X", r, kind == Kind::kOp ? ops_.name(r) : what_text(ring_, r));
    if (moment) {
      line += fmt::format(R"(,"s":"{}")", kind == Kind::kFailure ? 'p' : 't');
    } else {
      const std::int64_t end = open ? last_ : on_common_clock(ring_, r.end) - first_;
      line += R"(,"dur":)" + microseconds(end - moment_of(r));
    }
    lines_.push_back(line + fmt::format(R"(,"args":{{{}}}}})", args(r, kind, open)));
    if (kind == Kind::kMessage && r.peer >= 0) flow(r, "s", ring_.rank, r.peer);
  }

  std::int64_t moment_of(const Record& r) const { return on_common_clock(ring_, r.begin) - first_; }

  // Without its end, which depends on the kind.
  std::string event(const char* ph, const Record& r, const std::string& name) const {
    return fmt::format(R"({{"ph":"{}","name":{},"cat":"{}","pid":{},"tid":{},"ts":{})", ph,
                       quoted(name), events::name_of(static_cast<Kind>(r.kind)), ring_.rank,
                       thread_, microseconds(moment_of(r)));
  }

  std::string args(const Record& r, Kind kind, bool open) const {
    std::string text = fmt::format(R"("step":{})", r.step);
    if (kind == Kind::kOp) {
      text += ops_.args(ring_, r);
    } else {
      if (r.number >= 0) text += fmt::format(R"(,"number":{})", r.number);
      if (r.peer >= 0) text += fmt::format(R"(,"peer":{})", r.peer);
      if (r.bytes > 0) text += fmt::format(R"(,"bytes":{})", r.bytes);
    }
    if (open) text += R"(,"ended":false)";
    return text;
  }

  void count(const Record& r) {
    lines_.push_back(event("C", r, ring_.text(r)) +
                     fmt::format(R"(,"args":{{"value":{}}}}})", std::bit_cast<double>(r.bytes)));
  }

  // An arrow from the message's sender to whoever has it. Both ends count the messages of a pair
  // alike, as they keep their order.
  void flow(const Record& r, const char* ph, int from, int to) {
    const std::string what = ring_.text(r);
    const auto key = std::tuple(what, from, to, r.number, r.step);
    const int nth = (*ph == 's' ? sent_ : arrived_)[key]++;
    lines_.push_back(
        event(ph, r, what) +
        fmt::format(R"(,"id":"{} {} {}>{} @{} {}"{},"args":{{"step":{},"peer":{},"bytes":{}}}}})",
                    what, r.number, from, to, r.step, nth, *ph == 'f' ? R"(,"bp":"e")" : "", r.step,
                    r.peer, r.bytes));
  }

  const Ring& ring_;
  const std::int64_t first_;
  const TimelineOps ops_;
  const std::int64_t last_;
  std::size_t thread_ = 0;
  std::vector<std::string> lines_;
  std::map<std::tuple<std::string, int, int, std::int32_t, std::int64_t>, int> sent_, arrived_;
};

}  // namespace

std::int64_t first_moment(const Ring& ring) {
  std::int64_t first = last_sign(ring);
  for (const Ring::Thread& thread : ring.threads)
    for (const auto* records : {&thread.done, &thread.open})
      for (const Record& r : *records) first = std::min(first, on_common_clock(ring, r.begin));
  return first;
}

std::string trace_lines(const Ring& ring, std::int64_t first) { return Lines(ring, first).text(); }

std::string trace_head() { return "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n"; }
std::string trace_tail(const std::string& about) {
  return fmt::format("\n],\"otherData\":{}}}\n", about);
}

std::string trace_json(const std::vector<Ring>& rings) {
  std::int64_t first = first_moment(rings.front());
  for (const Ring& ring : rings) first = std::min(first, first_moment(ring));
  std::vector<std::string> ranks;
  for (const Ring& ring : rings) ranks.push_back(trace_lines(ring, first));
  return fmt::format("{}{}{}", trace_head(), fmt::join(ranks, ",\n"), trace_tail("{}"));
}

}  // namespace lockstep::train
