// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU: trace event
// format.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "lockstep/core/error.h"
#include "lockstep/train/timeline.h"
#include "train/timeline_moments.h"

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

std::int64_t first_of_all(const std::vector<Ring>& rings) {
  std::int64_t first = last_sign(rings.front());
  for (const Ring& ring : rings)
    for (const Ring::Thread& thread : ring.threads)
      for (const auto* records : {&thread.done, &thread.open})
        for (const Record& r : *records) first = std::min(first, on_common_clock(ring, r.begin));
  return first;
}

std::string event(const Ring& ring, std::size_t thread, const Record& r, std::int64_t first) {
  const bool open = r.end == 0;
  const std::int64_t begin = on_common_clock(ring, r.begin) - first;
  const std::int64_t end = (open ? last_sign(ring) : on_common_clock(ring, r.end)) - first;
  const auto us = [](std::int64_t ns) { return fmt::format("{}.{:03}", ns / 1000, ns % 1000); };
  std::string args = fmt::format(R"("step":{})", r.step);
  if (r.number >= 0) args += fmt::format(R"(,"number":{})", r.number);
  if (r.peer >= 0) args += fmt::format(R"(,"peer":{})", r.peer);
  if (r.bytes > 0) args += fmt::format(R"(,"bytes":{})", r.bytes);
  if (open) args += R"(,"ended":false)";
  const bool instant = static_cast<Kind>(r.kind) == Kind::kFailure;
  return fmt::format(
      R"({{"ph":"{}","name":{},"cat":"{}","pid":{},"tid":{},"ts":{},{},"args":{{{}}}}})",
      instant ? "i" : "X", quoted(what_text(ring, r)), events::name_of(static_cast<Kind>(r.kind)),
      ring.rank, thread, us(begin), instant ? R"("s":"p")" : R"("dur":)" + us(end - begin), args);
}

}  // namespace

std::string trace_json(const std::vector<Ring>& rings) {
  const std::int64_t first = first_of_all(rings);
  std::vector<std::string> lines;
  for (const Ring& ring : rings) {
    lines.push_back(meta("process_name", ring.rank, 0,
                         R"("name":)" + quoted(fmt::format("rank {} ({})", ring.rank, ring.host))));
    lines.push_back(
        meta("process_sort_index", ring.rank, 0, fmt::format(R"("sort_index":{})", ring.rank)));
    for (std::size_t t = 0; t < ring.threads.size(); ++t) {
      const Ring::Thread& thread = ring.threads[t];
      const std::string name = thread.name.empty() ? fmt::format("thread {}", t) : thread.name;
      lines.push_back(meta("thread_name", ring.rank, t, R"("name":)" + quoted(name)));
      std::vector<Record> records = thread.done;
      records.insert(records.end(), thread.open.begin(), thread.open.end());
      std::ranges::stable_sort(records, {}, [](const Record& r) {
        return std::pair(r.begin, r.depth);  // whoever holds others comes first
      });
      for (const Record& r : records) lines.push_back(event(ring, t, r, first));
    }
  }
  return fmt::format("{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n{}\n]}}\n",
                     fmt::join(lines, ",\n"));
}

}  // namespace lockstep::train
