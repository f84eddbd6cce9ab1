// Where the records of a text file begin, so that ranks can read parts of it: of every block of
// bytes its first record, with its number and its line. Knows no cells.
//
// Whether a line end ends a record depends on all quotes before it. So each rank walks its blocks
// once from every state that the reader could be in at a block's begin (they soon coincide, but for
// inside and outside of quotes); the true state of each block is then found by going from the first
// block to the last. That is exact for every file, whatever its quotes.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "positioned_bytes.h"
#include "progress.h"

namespace lockstep::data {

struct RecordRules {
  char separator = ',';
  bool quotes = true;         // RFC 4180: in them, line ends and separators are text
  bool skips_blanks = false;  // a line of blanks is no record; an empty one never is
};

struct RecordPlace {
  std::uint64_t offset = 0;
  std::int64_t record = 0, line = 1;
};

struct RecordIndex {
  std::vector<RecordPlace> places;  // ascending; the first is record 0
  std::int64_t records = 0;
  std::uint64_t bytes = 0;  // of the file, unpacked
  // The last place at or before a record.
  const RecordPlace& before(std::int64_t record) const;
};

// Reads the file once, each rank a part (of a packed file: unpacks it up to there). Blocks are of 1
// MiB, or a 65536th of the file. Collective; the same on any number of ranks.
RecordIndex index_records(comm::Communicator& communicator, PositionedBytes& bytes,
                          const RecordRules& rules, Progress& progress);

}  // namespace lockstep::data
