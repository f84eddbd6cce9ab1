#include "lockstep/core/events.h"

#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <mutex>

#include "core/event_region.h"

namespace lockstep::events {
namespace {

std::uint64_t now() {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(t.tv_nsec);
}

Region whole;
std::atomic<Region*> current{nullptr};
std::atomic<std::uint32_t> generation{0};
std::mutex naming;

constexpr std::size_t kCached = 64;

// A thread's own view of its track. Trivial, so that reaching it costs no look at a guard.
struct Track {
  TrackHead* head = nullptr;
  Record* ring = nullptr;
  std::uint64_t mask = 0, count = 0;
  std::uint32_t depth = 0, generation = 0;
  const char* innermost[kDepth] = {};  // texts of open spans
  struct {
    const char* text = nullptr;
    std::uint16_t name = 0;
  } names[kCached];
};
constinit thread_local Track mine;

// Gives the thread's track back when the thread ends: threads may come and go.
struct Leaver {
  TrackHead* head = nullptr;
  ~Leaver() {
    if (head != nullptr) head->taken.store(0, std::memory_order_release);
  }
};
thread_local Leaver leaver;

// The first record of a thread. Without a free track it goes unrecorded.
Track* claim(const Region& region) {
  const std::uint32_t now_generation = generation.load(std::memory_order_acquire);
  if (mine.generation == now_generation) return nullptr;  // there was none
  mine = {};
  mine.generation = now_generation;
  for (std::uint32_t t = 0; t + 1 < region.layout.tracks; ++t) {
    TrackHead& head = region.track(t);
    std::uint32_t free = 0;
    if (!head.taken.compare_exchange_strong(free, 1, std::memory_order_acq_rel)) continue;
    head.depth.store(0, std::memory_order_relaxed);
    mine.ring = region.ring(t);
    mine.mask = region.layout.records - 1;
    mine.count = head.count.load(std::memory_order_relaxed);
    mine.head = &head;
    leaver.head = &head;
    return &mine;
  }
  return nullptr;
}

Track* track() {
  const Region* const region = current.load(std::memory_order_relaxed);
  if (region == nullptr) return nullptr;
  if (mine.head != nullptr && mine.generation == generation.load(std::memory_order_relaxed))
    return &mine;
  return claim(*region);
}

std::uint16_t name_number(Track& t, const char* text) {
  const auto bits = reinterpret_cast<std::uintptr_t>(text) * std::uint64_t{0x9E3779B97F4A7C15u};
  auto& cached = t.names[bits >> 58];
  if (cached.text != text) cached = {text, intern(text)};
  return cached.name;
}

constexpr std::uint64_t kSeed = 0x5CA1AB1E, kFactor = 0x9E3779B97F4A7C15u;

std::uint64_t where_word(std::int32_t number, std::int32_t peer) {
  return static_cast<std::uint32_t>(number) |
         static_cast<std::uint64_t>(static_cast<std::uint32_t>(peer)) << 32;
}
std::uint64_t what_word(Kind kind, std::uint16_t name, std::uint32_t depth) {
  return static_cast<std::uint64_t>(kind) | static_cast<std::uint64_t>(name) << 16 |
         static_cast<std::uint64_t>(depth) << 32;
}

// A record's words in the order of its members. Stored one by one and from registers: a copy of
// what has just been written in smaller pieces would wait for them.
void put(Record& to, std::uint64_t begin, std::uint64_t end, std::uint64_t step,
         std::uint64_t bytes, std::uint64_t sequence, std::uint64_t where, std::uint64_t what) {
  auto* const words = reinterpret_cast<std::atomic<std::uint64_t>*>(&to);
  std::uint64_t sum = kSeed, i = 0;
  for (const std::uint64_t word : {begin, end, step, bytes, sequence, where, what}) {
    words[i].store(word, std::memory_order_relaxed);
    sum += word * (kFactor + 2 * i++);
  }
  words[i].store(sum ^ (sum >> 29), std::memory_order_relaxed);
}

void keep(Track& t, std::uint64_t begin, std::uint64_t end, std::uint64_t step, std::uint64_t bytes,
          std::uint64_t where, std::uint64_t what) {
  const std::uint64_t sequence = ++t.count;
  put(t.ring[(sequence - 1) & t.mask], begin, end, step, bytes, sequence, where, what);
  t.head->count.store(sequence, std::memory_order_release);
}

std::uint64_t step_of(const About& about) {
  return static_cast<std::uint64_t>(
      about.step >= 0 ? about.step : whole.head().step.load(std::memory_order_relaxed));
}

}  // namespace

const char* name_of(Kind kind) {
  constexpr const char* kTexts[] = {"none",       "start",   "step", "data",   "forward",
                                    "backward",   "fold",    "wait", "update", "evaluation",
                                    "checkpoint", "message", "file",   "failure",
                                    "op",         "arrival", "counter", "report"};
  static_assert(std::size(kTexts) == static_cast<std::size_t>(Kind::kKinds));
  return kTexts[std::min<std::size_t>(static_cast<std::size_t>(kind), std::size(kTexts) - 1)];
}

std::uint64_t Record::checked() const {
  const auto words = std::bit_cast<std::array<std::uint64_t, 8>>(*this);
  std::uint64_t sum = kSeed;
  for (std::size_t i = 0; i < 7; ++i) sum += words[i] * (kFactor + 2 * i);
  return sum ^ (sum >> 29);
}

std::uint64_t check_of(const Head& head) {
  std::uint64_t sum = kSeed;
  for (std::size_t at = 0; at < offsetof(Head, check); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, reinterpret_cast<const std::byte*>(&head) + at, 8);
    sum = (sum ^ word) * kFactor;
    sum ^= sum >> 32;
  }
  return sum;
}

Region* region() { return current.load(std::memory_order_acquire); }
bool recording() { return region() != nullptr; }

void begin(std::size_t records, int threads, std::size_t note_bytes) {
  current.store(nullptr, std::memory_order_release);
  if (records == 0) return;
  Region made;
  made.layout = {static_cast<std::uint32_t>(threads) + 1, std::bit_ceil(records), note_bytes};
  void* const memory = ::mmap(nullptr, made.layout.bytes(), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;  // a record of events is no reason to end a run
  made.base = static_cast<std::byte*>(memory);
  Head& head = made.head();
  std::memcpy(head.magic, kMagic, sizeof kMagic);
  head.record_bytes = sizeof(Record);
  head.tracks = made.layout.tracks;
  head.records = made.layout.records;
  head.note_bytes = note_bytes;
  head.step.store(-1, std::memory_order_relaxed);
  head.check = check_of(head);
  whole = made;
  generation.fetch_add(1, std::memory_order_acq_rel);
  current.store(&whole, std::memory_order_release);
}

void set_note(std::string_view note) {
  const Region* const r = region();
  if (r == nullptr || note.size() > r->layout.note_bytes) return;
  note.copy(r->note(), note.size());
  r->head().note.store(static_cast<std::uint32_t>(note.size()), std::memory_order_release);
}

// Names are few and looked up once a thread: from then on its cache knows them.
std::uint16_t intern(const char* text) {
  const Region* const r = region();
  if (r == nullptr) return 0;
  const std::lock_guard lock(naming);
  const std::uint32_t known = r->head().names.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < known; ++i)
    if (std::strncmp(r->name(i), text, kTextBytes - 1) == 0) return static_cast<std::uint16_t>(i);
  if (known == kNames) return static_cast<std::uint16_t>(kNames);  // read as the kind's name
  std::strncpy(r->name(known), text, kTextBytes - 1);
  r->head().names.store(known + 1, std::memory_order_release);
  return static_cast<std::uint16_t>(known);
}

Span::Span(Kind kind, const char* what, const About& about) {
  track_ = track();
  if (track_ != nullptr) open(kind, what, about, now());
}

void Span::begin(Kind kind, const char* what, const About& about) {
  track_ = track();
  if (track_ != nullptr) open(kind, what, about, now());
}

void Span::open(Kind kind, const char* what, const About& about, std::uint64_t at) {
  auto& t = *static_cast<Track*>(track_);
  begin_ = at;
  step_ = step_of(about);
  bytes_ = about.bytes;
  where_ = where_word(about.number, about.peer);
  what_ = what_word(kind, name_number(t, what), t.depth);
  if (t.depth < kDepth) {
    put(t.head->open[t.depth], begin_, 0, step_, bytes_, t.count + 1, where_, what_);
    t.innermost[t.depth] = what;
  }
  t.head->depth.store(++t.depth, std::memory_order_release);
}

void Span::finish(std::uint64_t at) {
  auto& t = *static_cast<Track*>(track_);
  keep(t, begin_, at, step_, bytes_, where_, what_);
  t.head->depth.store(--t.depth, std::memory_order_release);
}

void Span::close() { finish(now()); }

void Span::next(Kind kind, const char* what, const About& about) {
  if (track_ == nullptr) return;
  const std::uint64_t at = now();
  finish(at);
  open(kind, what, about, at);
}

void instant(Kind kind, const char* what, const About& about) {
  Track* const t = track();
  if (t == nullptr) return;
  const std::uint64_t at = now();
  keep(*t, at, at, step_of(about), about.bytes, where_word(about.number, about.peer),
       what_word(kind, name_number(*t, what), t->depth));
}

void count(const char* what, double value) {
  detail(Kind::kCounter, what, {.bytes = std::bit_cast<std::uint64_t>(value)});
}

void name_thread(const char* name) {
  Track* const t = track();
  if (t != nullptr) std::strncpy(t->head->name, name, sizeof t->head->name - 1);
}

void set_activity(const char* what, std::int64_t step) {
  const Region* const r = region();
  if (r == nullptr) return;
  std::uint64_t words[kTextBytes / 8] = {};
  std::memcpy(words, what, std::min(std::strlen(what), kTextBytes - 1));
  for (std::size_t i = 0; i < std::size(words); ++i)
    r->head().activity[i].store(words[i], std::memory_order_relaxed);
  set_step(step);
}

void set_step(std::int64_t step) {
  if (const Region* const r = region()) r->head().step.store(step, std::memory_order_relaxed);
}

void alive() {
  if (const Region* const r = region()) r->head().alive.store(now(), std::memory_order_relaxed);
}

Last crashed(const char* signal) {
  const Region* const r = region();
  if (r == nullptr) return {};
  Last last;
  last.activity = reinterpret_cast<const char*>(r->head().activity);
  last.step = r->head().step.load(std::memory_order_relaxed);
  if (mine.head == nullptr) {
    // Of a thread that has not recorded anything: the last track is nobody's but the handler's.
    const std::uint32_t t = r->layout.tracks - 1;
    mine.head = &r->track(t);
    mine.ring = r->ring(t);
    mine.mask = r->layout.records - 1;
  }
  if (mine.depth > 0) last.what = mine.innermost[std::min<std::size_t>(mine.depth, kDepth) - 1];
  // The lock of the names may be held by whoever crashed: signals' names are there already.
  auto name = static_cast<std::uint16_t>(kNames);
  const std::uint32_t known = r->head().names.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < known; ++i)
    if (std::strcmp(r->name(i), signal) == 0) name = static_cast<std::uint16_t>(i);
  const std::uint64_t at = now();
  keep(mine, at, at, static_cast<std::uint64_t>(last.step), 0, where_word(-1, -1),
       what_word(Kind::kFailure, name, mine.depth));
  return last;
}

}  // namespace lockstep::events
