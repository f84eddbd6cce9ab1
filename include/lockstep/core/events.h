// What each thread of this process does and when, in rings of fixed size that the last moments can
// be read from after a crash. Recording takes no lock, no memory and no system call but the
// clock's. Knows no files (event_file.h) and no ranks.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lockstep::events {

// What a span is of. New kinds go before kKinds: files hold the numbers.
enum class Kind : std::uint16_t {
  kNone,
  kStart,     // of the run, until its first step
  kStep,      // a stretch of steps
  kData,      // samples of a lane's microbatch
  kForward,   // of a lane
  kBackward,  // of a lane, with the loss
  kFold,      // adding
  kWait,      // for other ranks, or for the data's reader
  kUpdate,    // gradients become parameters
  kEvaluation,
  kCheckpoint,
  kMessage,
  kFile,     // reading or writing
  kFailure,  // an instant: the last one of a thread that crashed
  // In detail only:
  kOp,       // of a program, or a slice of one: op_about()
  kArrival,  // an instant: a message of `peer` is here
  kCounter,  // an instant: its bytes are those of a double
  kReport,   // telling people and files how the run goes
  kKinds
};
const char* name_of(Kind kind);  // "wait"

struct About {
  std::int64_t step = -1;    // as people count them, from 1; -1: the process' current one
  std::int32_t number = -1;  // of a lane or a bucket
  std::int32_t peer = -1;    // a rank
  std::uint64_t bytes = 0;
};

// Of a kOp: which one of the program, and of which microbatch of the step; -1: of an evaluation.
inline About op_about(int op, std::int32_t microbatch, std::uint32_t slice, std::uint32_t slices) {
  return {.number = op, .peer = microbatch, .bytes = std::uint64_t{slice} << 32 | slices};
}

// A record, as it lies in a ring. 64 bytes: a cache line. Times: nanoseconds of CLOCK_MONOTONIC.
struct alignas(64) Record {
  std::uint64_t begin = 0, end = 0;  // end 0: it goes on
  std::int64_t step = -1;
  std::uint64_t bytes = 0;
  std::uint64_t sequence = 0;  // within its thread, from 1
  std::int32_t number = -1, peer = -1;
  std::uint16_t kind = 0, name = 0;  // name: of the table of names
  std::uint32_t depth = 0;           // spans of its thread that it lies in
  std::uint64_t check = 0;           // of all the others: a record that is half written is known

  std::uint64_t checked() const;  // what check has to be
  bool whole() const { return sequence != 0 && check == checked(); }
};
static_assert(sizeof(Record) == 64);

// Begins to record: `records` (rounded up to a power of two) of each of at most `threads` threads,
// in memory. 0 records: nothing is recorded. Once in a process; tests may begin again while nothing
// else records. note_bytes: room for set_note().
void begin(std::size_t records, int threads, std::size_t note_bytes = 0);
bool recording();
// What whoever reads the records needs to know besides; left out where there is no room.
void set_note(std::string_view note);

// Whether ops, single messages and reads are recorded too: off unless somebody asks for it. Where
// it is off they cost a load and a branch that is always the same.
inline std::atomic<bool> in_detail{false};
inline bool detailed() { return in_detail.load(std::memory_order_relaxed); }

// A text as records hold it. `text` is a literal: it stays where it is for good. Spans look their
// texts up themselves; where many are made of a text that is none, it is interned once.
std::uint16_t intern(const char* text);

// While it lives, its thread does this. Spans of a thread nest. Costs two looks at the clock and
// two cache lines; nothing where nothing is recorded.
class Span {
 public:
  Span(Kind kind, const char* what, const About& about = {});
  ~Span() {
    if (track_ != nullptr) close();
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;
  // Ends this span and begins another one in its place, at the same moment.
  void next(Kind kind, const char* what, const About& about = {});
  void moved(std::uint64_t bytes) { bytes_ += bytes; }

 protected:
  Span() = default;  // of nothing
  void begin(Kind kind, const char* what, const About& about);

 private:
  void open(Kind kind, const char* what, const About& about, std::uint64_t now);
  void finish(std::uint64_t now);
  void close();
  void* track_ = nullptr;
  // Words of the record that will be made: whole words, which leave again as they came.
  std::uint64_t begin_, step_, bytes_, where_, what_;
};

void instant(Kind kind, const char* what, const About& about = {});

// A span, or an instant, that is recorded in detail only.
class Detail : public Span {
 public:
  Detail(Kind kind, const char* what, const About& about = {}) {
    if (detailed()) [[unlikely]] begin(kind, what, about);
  }
};
inline void detail(Kind kind, const char* what, const About& about = {}) {
  if (detailed()) [[unlikely]] instant(kind, what, about);
}
inline void sent(const char* what, std::int64_t bytes, std::int32_t number = -1,
                 std::int32_t peer = -1) {
  detail(Kind::kMessage, what,
         {.number = number, .peer = peer, .bytes = static_cast<std::uint64_t>(bytes)});
}
void count(const char* what, double value);  // in detail only
// Names the calling thread's ring: "reader".
void name_thread(const char* name);

// What the process is doing at large, and at which step; what spans without a step take theirs
// from.
void set_activity(const char* what, std::int64_t step);
void set_step(std::int64_t step);
// A sign of life of a process that waits.
void alive();

// For a handler of fatal signals: what the calling thread was in and the step; marks its ring.
// Async-signal-safe.
struct Last {
  const char* what = "";
  const char* activity = "";
  std::int64_t step = -1;
};
Last crashed(const char* signal);

}  // namespace lockstep::events
