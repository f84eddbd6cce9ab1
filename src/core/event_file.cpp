#include "lockstep/core/event_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "core/event_region.h"
#include "lockstep/core/error.h"
#include "lockstep/core/files.h"

namespace lockstep::events {
namespace {

namespace fs = std::filesystem;

fs::path file_now;
char folder_now[4096] = "";

std::uint64_t clock_ns(clockid_t clock) {
  timespec t;
  ::clock_gettime(clock, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(t.tv_nsec);
}

void sign(Head& head, const Identity& identity) {
  head.rank = identity.rank;
  head.ranks = identity.ranks;
  head.process = ::getpid();
  std::memset(head.host, 0, sizeof head.host);
  std::strncpy(head.host, identity.host.c_str(), sizeof head.host - 1);
  head.monotonic = clock_ns(CLOCK_MONOTONIC);
  head.wall = clock_ns(CLOCK_REALTIME);
  head.offset = identity.offset;
  head.error = identity.error;
  head.check = check_of(head);
}

}  // namespace

std::uint64_t file_bytes() {
  const Region* const r = region();
  return r == nullptr ? 0 : r->layout.bytes();
}

void keep_in_file(const fs::path& file, const Identity& identity) {
  const Region* const r = region();
  if (r == nullptr) return;
  sign(r->head(), identity);
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) throw UserError("cannot make {}: {}", file.string(), std::strerror(errno));
  const std::size_t bytes = r->layout.bytes();
  void* shared = MAP_FAILED;
  std::string why;
  try {
    write_at(fd, r->base, bytes, 0, file);
    shared = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED) why = std::strerror(errno);
  } catch (const UserError& error) {
    why = error.what();
  }
  ::close(fd);
  // In the place of the memory, in one go: threads that record do not notice.
  if (why.empty() &&
      ::mremap(shared, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, r->base) == MAP_FAILED)
    why = std::strerror(errno);
  if (!why.empty()) {
    ::unlink(file.c_str());
    throw UserError("cannot keep events in {}: {}", file.string(), why);
  }
  file_now = file;
  std::strncpy(folder_now, file.parent_path().c_str(), sizeof folder_now - 1);
}

std::string image(const Identity& identity) {
  const Region* const r = region();
  if (r == nullptr) return {};
  sign(r->head(), identity);
  std::uint64_t most = 1;
  for (std::uint32_t t = 0; t < r->layout.tracks; ++t)
    most = std::max(most, r->track(t).count.load(std::memory_order_acquire));
  // Where a ring has come round all of it is used; else its first records are the same in a
  // smaller one.
  Layout layout = r->layout;
  layout.records = std::min(layout.records, std::bit_ceil(most));
  std::vector<Record> aligned((layout.bytes() + sizeof(Record) - 1) / sizeof(Record));
  const Region to{reinterpret_cast<std::byte*>(aligned.data()), layout};
  std::memcpy(to.base, r->base, Layout::kTracksAt);
  to.head().records = layout.records;
  to.head().check = check_of(to.head());
  for (std::uint32_t t = 0; t < layout.tracks; ++t)
    std::memcpy(to.base + layout.track_at(t), &r->track(t), layout.track_bytes());
  std::memcpy(to.note(), r->note(), layout.note_bytes);
  return {reinterpret_cast<const char*>(to.base), layout.bytes()};
}

void remove_file() {
  if (file_now.empty()) return;
  folder_now[0] = '\0';
  ::unlink(file_now.c_str());
  ::rmdir(file_now.parent_path().c_str());  // refused while it holds others' files
  file_now.clear();
}

const char* folder() { return folder_now; }

std::string Ring::text(const Record& record) const {
  return record.name < names.size() ? names[record.name] : name_of(static_cast<Kind>(record.kind));
}

namespace {

std::string text_at(const char* at, std::size_t most) { return {at, ::strnlen(at, most)}; }

Layout layout_of(const std::string& bytes, const fs::path& file) {
  const auto no_ring = [&](const char* why) {
    return DataError("{} {}; rings of events are made by a run, in checkpoint.dir/events",
                     file.string(), why);
  };
  if (bytes.size() < sizeof(Head) || std::memcmp(bytes.data(), kMagic, sizeof kMagic) != 0)
    throw no_ring("is no ring of events");
  alignas(Head) std::byte first[sizeof(Head)];
  std::memcpy(first, bytes.data(), sizeof(Head));
  const auto& head = *reinterpret_cast<const Head*>(first);
  if (head.check != check_of(head) || head.record_bytes != sizeof(Record))
    throw no_ring("is damaged: its head does not fit its checksum");
  constexpr std::uint64_t kMostTracks = 1 << 20, kMostRecords = 1 << 30;
  if (head.tracks > kMostTracks || head.records > kMostRecords || head.records == 0 ||
      head.note_bytes > kMostRecords)
    throw no_ring("is damaged: its sizes cannot be");
  const Layout layout{head.tracks, head.records, head.note_bytes};
  if (bytes.size() != layout.bytes()) {
    throw DataError("{} is damaged: it has {} bytes and should have {}", file.string(),
                    bytes.size(), layout.bytes());
  }
  return layout;
}

bool same(const Record& a, const Record& b) {
  return a.begin == b.begin && a.kind == b.kind && a.name == b.name && a.depth == b.depth;
}

Ring::Thread read_track(const TrackHead& head, const Record* ring, std::uint64_t records) {
  Ring::Thread thread;
  thread.name = text_at(head.name, sizeof head.name);
  const std::uint64_t count = head.count.load();
  thread.dropped = count > records ? count - records : 0;
  for (std::uint64_t s = count > records ? count - records + 1 : 1; s <= count; ++s) {
    const Record& r = ring[(s - 1) % records];
    if (r.whole() && r.sequence == s) {
      thread.done.push_back(r);
    } else {
      ++thread.torn;
    }
  }
  const std::uint32_t depth = head.depth.load();
  for (std::uint32_t d = 0; d < depth && d < kDepth; ++d) {
    const Record& r = head.open[d];
    // Whoever was ended between a span's record and its leaving has ended the span.
    const bool ended = !thread.done.empty() && same(r, thread.done.back());
    if (r.whole() && r.depth == d && !ended) thread.open.push_back(r);
  }
  return thread;
}

}  // namespace

Ring read_ring(const fs::path& file) { return parse_ring(read_file(file), file); }

Ring parse_ring(const std::string& bytes, const fs::path& file) {
  const Layout layout = layout_of(bytes, file);
  std::vector<Record> aligned(bytes.size() / sizeof(Record));
  std::memcpy(aligned.data(), bytes.data(), bytes.size());
  const Region region{reinterpret_cast<std::byte*>(aligned.data()), layout};
  const Head& head = region.head();
  Ring ring;
  ring.file = file;
  ring.rank = head.rank;
  ring.ranks = head.ranks;
  ring.process = head.process;
  ring.host = text_at(head.host, sizeof head.host);
  ring.monotonic = head.monotonic;
  ring.wall = head.wall;
  ring.offset = head.offset;
  ring.error = head.error;
  ring.alive = head.alive.load();
  ring.step = head.step.load();
  ring.activity = text_at(reinterpret_cast<const char*>(head.activity), kTextBytes);
  for (std::uint32_t n = 0; n < head.names.load() && n < kNames; ++n)
    ring.names.push_back(text_at(region.name(n), kTextBytes));
  if (head.note.load() <= layout.note_bytes) ring.note.assign(region.note(), head.note.load());
  for (std::uint32_t t = 0; t < layout.tracks; ++t) {
    const TrackHead& track = region.track(t);
    if (track.count.load() == 0 && track.depth.load() == 0) continue;
    ring.threads.push_back(read_track(track, region.ring(t), layout.records));
  }
  return ring;
}

}  // namespace lockstep::events
