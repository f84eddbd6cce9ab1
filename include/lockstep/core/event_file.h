// Rings of events in a file of each rank: mapped while they are written, so that they are there
// whatever ends the process (SIGKILL and SIGSTOP too), and read again afterwards. Knows no run.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "lockstep/core/events.h"

namespace lockstep::events {

struct Identity {
  int rank = 0, ranks = 1;
  std::string host;
  // To be added to this host's CLOCK_MONOTONIC to get rank 0's, and how far off that may be, in ns.
  std::int64_t offset = 0, error = 0;
};

// That a file will have; 0 where nothing is recorded.
std::uint64_t file_bytes();
// From now on rings lie in this new file, with what has been recorded so far. Its blocks are taken
// at once: a disk that fills up later must not end the run. Throws UserError if it cannot be made;
// then they stay in memory. Nothing happens where nothing is recorded.
void keep_in_file(const std::filesystem::path& file, const Identity& identity);
// What a file would hold now, with the part of the rings that is in use. Others may go on recording.
std::string image(const Identity& identity);
// At an end that leaves nothing to look into; the folder goes with its last file.
void remove_file();
// Of the file, for messages; "" without one. Async-signal-safe.
const char* folder();

// What a file holds.
struct Ring {
  std::filesystem::path file;
  int rank = 0, ranks = 1;
  std::int64_t process = 0;
  std::string host;
  std::uint64_t monotonic = 0, wall = 0;  // the same moment on both clocks, in ns
  std::int64_t offset = 0, error = 0;
  std::uint64_t alive = 0;  // last sign of life of a wait
  std::int64_t step = -1;
  std::string activity, note;
  std::vector<std::string> names;
  struct Thread {
    std::string name;
    std::vector<Record> done;  // in the order in which they ended
    std::vector<Record> open;  // from the outside in
    std::uint64_t torn = 0;    // records that were half written
    std::uint64_t dropped = 0;  // earlier ones, for which there was no room
  };
  std::vector<Thread> threads;
  std::string text(const Record& record) const;  // its name, or its kind's
};
// Throws DataError naming the file if it is no whole ring file, UserError if it cannot be read.
Ring read_ring(const std::filesystem::path& file);
// The same of what such a file holds; `file` is for messages.
Ring parse_ring(const std::string& bytes, const std::filesystem::path& file);

}  // namespace lockstep::events
