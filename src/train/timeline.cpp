#include "lockstep/train/timeline.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <set>

#include "lockstep/core/error.h"
#include "lockstep/core/units.h"
#include "train/timeline_moments.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;
using events::Kind;
using events::Record;
using events::Ring;

bool is_ring(const fs::path& file) { return file.extension() == ".ring"; }

std::vector<fs::path> rings_of(const fs::path& place) {
  if (!fs::exists(place))
    throw UserError("there is no {}; name a folder of rings or a checkpoint.dir", place.string());
  if (!fs::is_directory(place)) return {place};
  const fs::path inner = place / kEventsFolder;
  const fs::path folder = fs::is_directory(inner) ? inner : place;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (is_ring(entry.path())) files.push_back(entry.path());
  if (!files.empty()) return files;
  const bool earlier = fs::is_directory(place / kEarlierEventsFolder);
  throw UserError("{} holds no rings of events: they go when a run ends well{}", folder.string(),
                  earlier ? fmt::format("; those of the attempt before are in {}",
                                        (place / kEarlierEventsFolder).string())
                          : "");
}

}  // namespace

std::vector<Ring> read_rings(const std::vector<std::string>& places) {
  std::vector<Ring> rings;
  for (const std::string& place : places)
    for (const fs::path& file : rings_of(place)) rings.push_back(events::read_ring(file));
  std::ranges::sort(rings, {}, [](const Ring& r) { return std::pair(r.rank, r.file); });
  for (std::size_t i = 1; i < rings.size(); ++i)
    if (rings[i].rank == rings[i - 1].rank)
      throw UserError("{} and {} are both of rank {}: name the rings of one attempt",
                      rings[i - 1].file.string(), rings[i].file.string(), rings[i].rank);
  return rings;
}

std::int64_t on_common_clock(const Ring& ring, std::uint64_t time) {
  return static_cast<std::int64_t>(time) + ring.offset;
}

std::int64_t last_sign(const Ring& ring) {
  std::uint64_t last = std::max(ring.alive, ring.monotonic);
  for (const Ring::Thread& thread : ring.threads) {
    if (!thread.done.empty()) last = std::max(last, thread.done.back().end);
    for (const Record& r : thread.open) last = std::max(last, r.begin);
  }
  return on_common_clock(ring, last);
}

std::string what_text(const Ring& ring, const Record& r) {
  std::string text = ring.text(r);
  if (r.number >= 0) text += fmt::format(" {}", r.number);
  const Kind kind = static_cast<Kind>(r.kind);
  if (kind == Kind::kWait) text = "waiting for " + text;
  if (kind == Kind::kFailure)
    text = r.peer >= 0 ? fmt::format("found rank {} {}", r.peer, text) : "crashed (" + text + ")";
  return text;
}

namespace {

double seconds(std::int64_t ns) { return 1e-9 * static_cast<double>(ns); }

// 2026-11-22 18:40:12.123, in this machine's time zone.
std::string date_text(const Ring& ring, std::int64_t common) {
  const std::int64_t wall =
      common - on_common_clock(ring, ring.monotonic) + static_cast<std::int64_t>(ring.wall);
  const std::time_t whole = wall / 1'000'000'000;
  std::tm parts{};
  ::localtime_r(&whole, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%F %T", &parts);
  return fmt::format("{}.{:03}", text, wall / 1'000'000 % 1000);
}

// What a rank was in at a moment: of the thread that waits for others, the first that recorded
// anything; from the outside in.
class Standing {
 public:
  Standing(const Ring& ring, std::int64_t at) : ring_(&ring), at_(at) {
    std::int64_t last = on_common_clock(ring, ring.monotonic);
    const auto seen = [&](std::uint64_t time) {
      const std::int64_t common = on_common_clock(ring, time);
      if (common <= at) last = std::max(last, common);
    };
    for (const Ring::Thread& thread : ring.threads) {
      for (const auto* records : {&thread.done, &thread.open}) {
        for (const Record& r : *records) {
          seen(r.begin);
          if (r.end > 0) seen(r.end);
          const bool over = r.end > 0 && on_common_clock(ring, r.end) <= at;
          if (&thread == &ring.threads.front() && !over && on_common_clock(ring, r.begin) <= at)
            in_.push_back(&r);
        }
      }
    }
    std::ranges::sort(in_, {}, &Record::depth);
    // Who waits gives signs of life beside its records.
    if (waits()) last = std::max(last, std::min(at, on_common_clock(ring, ring.alive)));
    silent_ = at - last;
  }
  const Ring& ring() const { return *ring_; }
  const Record* innermost() const { return in_.empty() ? nullptr : in_.back(); }
  bool waits() const { return !in_.empty() && static_cast<Kind>(in_.back()->kind) == Kind::kWait; }
  std::string text() const {
    std::string text;
    for (const Record* r : in_) text += (text.empty() ? "" : " > ") + what_text(*ring_, *r);
    return text.empty() ? ring_->activity : text;
  }
  std::int64_t step() const { return in_.empty() ? ring_->step : in_.back()->step; }
  std::string silent_text() const { return seconds_text(seconds(silent_)); }
  std::string since_text() const {
    return in_.empty()
               ? ""
               : ", " + seconds_text(seconds(at_ - on_common_clock(*ring_, in_.back()->begin)));
  }

 private:
  const Ring* ring_;
  std::int64_t at_, silent_ = 0;
  std::vector<const Record*> in_;
};

std::string ranks_text(const std::vector<const Standing*>& ranks) {
  std::string text = ranks.size() == 1 ? "rank" : "ranks";
  for (std::size_t i = 0; i < ranks.size(); ++i)
    text +=
        fmt::format("{} {} ({})", i == 0 ? "" : ",", ranks[i]->ring().rank, ranks[i]->ring().host);
  return text;
}

std::vector<std::pair<const Ring*, const Record*>> failures(const std::vector<Ring>& rings) {
  std::vector<std::pair<const Ring*, const Record*>> found;
  for (const Ring& ring : rings)
    for (const Ring::Thread& thread : ring.threads)
      for (const Record& r : thread.done)
        if (static_cast<Kind>(r.kind) == Kind::kFailure) found.emplace_back(&ring, &r);
  return found;
}

// The last moment that tells something: that of a watchdog's finding, after which the launcher
// wakes and ends the ranks, or else the last sign of life of any.
std::int64_t telling_moment(const std::vector<Ring>& rings) {
  std::int64_t end = last_sign(rings.front());
  for (const Ring& ring : rings) end = std::max(end, last_sign(ring));
  for (const auto& [ring, record] : failures(rings))
    if (record->peer >= 0) end = std::min(end, on_common_clock(*ring, record->begin));
  return end;
}

// Who crashed, who waited for whom, whose ring is not there: a sentence each.
std::string findings_text(const std::vector<Ring>& rings, const std::vector<Standing>& ranks) {
  std::string text;
  for (const auto& [ring, r] : failures(rings))
    text += fmt::format("rank {} ({}) {} at step {}\n", ring->rank, ring->host,
                        what_text(*ring, *r), r->step);
  std::vector<const Standing*> waiting, others;
  std::set<int> there;
  for (const Standing& rank : ranks) {
    there.insert(rank.ring().rank);
    (rank.waits() ? waiting : others).push_back(&rank);
  }
  if (!waiting.empty() && !others.empty()) {
    const Record& r = *waiting.front()->innermost();
    text += fmt::format("{} waited for {}{}; {} did not wait\n", ranks_text(waiting),
                        ring_text(waiting.front()->ring(), r),
                        r.step >= 0 ? fmt::format(" of step {}", r.step) : "", ranks_text(others));
    for (const Standing* rank : others)
      text += fmt::format("rank {} was in {}, and its last sign of life was {} before\n",
                          rank->ring().rank, rank->text(), rank->silent_text());
  } else if (waiting.size() > 1) {
    text += "all of these ranks waited\n";
  }
  for (int rank = 0; rank < rings.front().ranks; ++rank)
    if (!there.contains(rank)) text += fmt::format("there is no ring of rank {}\n", rank);
  return text;
}

struct Moment {
  std::int64_t at = 0;
  bool over = false;
  const Ring* ring = nullptr;
  const Record* record = nullptr;
};

// Merged by when they ended, or began if they had not.
std::vector<Moment> last_of_all(const std::vector<Ring>& rings, std::int64_t end,
                                std::size_t count) {
  std::vector<Moment> all;
  for (const Ring& ring : rings) {
    for (const Ring::Thread& thread : ring.threads) {
      for (const auto* records : {&thread.done, &thread.open}) {
        for (const Record& r : *records) {
          const std::int64_t ended = on_common_clock(ring, r.end);
          const bool over = r.end > 0 && ended <= end;
          const std::int64_t at = over ? ended : on_common_clock(ring, r.begin);
          if (at <= end) all.push_back({at, over, &ring, &r});
        }
      }
    }
  }
  std::ranges::stable_sort(all, {}, &Moment::at);
  if (all.size() > count) all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(count));
  return all;
}

}  // namespace

std::string ring_text(const Ring& ring, const Record& r) {
  return ring.text(r) + (r.number >= 0 ? fmt::format(" {}", r.number) : "");
}

std::string last_moments_text(const std::vector<Ring>& rings, int moments) {
  const std::int64_t end = telling_moment(rings);
  std::vector<Standing> ranks;
  std::uint64_t torn = 0;
  std::size_t width = 4;
  for (const Ring& ring : rings) {
    ranks.emplace_back(ring, end);
    width = std::max(width, ring.host.size());
    for (const Ring::Thread& thread : ring.threads) torn += thread.torn;
  }
  std::string text = fmt::format("{} of {} ranks at {}\n\n", rings.size(), rings.front().ranks,
                                 date_text(rings.front(), end));
  text += fmt::format("  rank  {:<{}} {:>8} {:>12}  {}\n", "host", width, "step", "silent for",
                      "in, and for how long");
  for (const Standing& rank : ranks)
    text += fmt::format("  {:>4}  {:<{}} {:>8} {:>12}  {}{}\n", rank.ring().rank, rank.ring().host,
                        width, rank.step(), rank.silent_text(), rank.text(), rank.since_text());
  const std::string findings = findings_text(rings, ranks);
  if (!findings.empty()) text += "\n" + findings;
  if (moments > 0) text += "\nbefore that, in order:\n";
  for (const Moment& m : last_of_all(rings, end, static_cast<std::size_t>(moments))) {
    const Record& r = *m.record;
    std::string length = m.over ? "" : ", begun";
    if (m.over && r.end > r.begin)
      length = ", " + seconds_text(1e-9 * static_cast<double>(r.end - r.begin));
    text +=
        fmt::format("  {:>10}  rank {}  step {}  {}{}\n", "-" + seconds_text(seconds(end - m.at)),
                    m.ring->rank, r.step, what_text(*m.ring, r), length);
  }
  if (torn > 0) text += fmt::format("{} records were half written and are left out\n", torn);
  return text;
}

}  // namespace lockstep::train
