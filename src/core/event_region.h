// The memory that rings lie in, in one piece, so that a file can take its place: a head, the table
// of names, and for each thread its open spans and its ring. Also the layout of a ring file.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "lockstep/core/events.h"

namespace lockstep::events {

inline constexpr char kMagic[8] = {'L', 'S', 'E', 'V', 'E', 'N', 'T', '2'};
inline constexpr std::size_t kTextBytes = 64;  // of a name, with its end
inline constexpr std::size_t kNames = 512;
inline constexpr std::size_t kDepth = 14;  // open spans of a thread that are kept

struct Head {
  char magic[8];
  std::uint32_t record_bytes, tracks;
  std::uint64_t records;  // of a track
  std::int32_t rank, ranks;
  std::int64_t process;
  char host[kTextBytes];
  std::uint64_t monotonic, wall;  // the same moment on both clocks, in ns
  std::int64_t offset, error;     // to be added to get rank 0's CLOCK_MONOTONIC, in ns
  std::uint64_t note_bytes;       // of the room behind the rings
  std::uint64_t check;            // of all above
  // From here on it changes.
  std::atomic<std::uint64_t> alive;  // ns
  std::atomic<std::int64_t> step;
  std::atomic<std::uint64_t> activity[kTextBytes / 8];
  std::atomic<std::uint32_t> names;
  std::atomic<std::uint32_t> note;  // bytes of it
};
static_assert(sizeof(Head) <= 4096);

struct alignas(64) TrackHead {
  std::atomic<std::uint64_t> count;  // records made so far
  std::atomic<std::uint32_t> depth;  // spans that are open, kept or not
  std::atomic<std::uint32_t> taken;  // a thread has it
  char name[48];
  Record open[kDepth];
};

struct Layout {
  std::uint32_t tracks = 0;
  std::uint64_t records = 0;
  std::uint64_t note_bytes = 0;
  static constexpr std::size_t kNamesAt = 4096;
  static constexpr std::size_t kTracksAt = kNamesAt + kNames * kTextBytes;
  std::size_t track_bytes() const { return sizeof(TrackHead) + records * sizeof(Record); }
  std::size_t track_at(std::uint32_t t) const { return kTracksAt + t * track_bytes(); }
  std::size_t note_at() const { return track_at(tracks); }
  std::size_t bytes() const { return (note_at() + note_bytes + 4095) / 4096 * 4096; }
};

std::uint64_t check_of(const Head& head);

struct Region {
  std::byte* base = nullptr;
  Layout layout;
  Head& head() const { return *reinterpret_cast<Head*>(base); }
  char* name(std::size_t i) const {
    return reinterpret_cast<char*>(base + Layout::kNamesAt) + i * kTextBytes;
  }
  TrackHead& track(std::uint32_t t) const {
    return *reinterpret_cast<TrackHead*>(base + layout.track_at(t));
  }
  char* note() const { return reinterpret_cast<char*>(base + layout.note_at()); }
  Record* ring(std::uint32_t t) const { return reinterpret_cast<Record*>(&track(t) + 1); }
};

Region* region();  // null: nothing is recorded

}  // namespace lockstep::events
