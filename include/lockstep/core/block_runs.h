// Some blocks of a flat buffer, kept without the rest: runs of blocks that follow each other in the
// table, one behind the other. Knows of no memory.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/core/parameter_table.h"

namespace lockstep {

struct BlockRun {
  int first = 0, count = 0;              // blocks of the table
  std::int64_t begin = 0, elements = 0;  // of the flat buffer; no padding behind the last block
  std::int64_t at = 0;                   // where `begin` lies; a multiple of kGranule
  // What an address with the layout of the runs is shifted by to have that of the flat buffer.
  std::int64_t shift() const { return at - begin; }
};

// mine: by block of the table.
std::vector<BlockRun> runs_of(const ParameterTable& table, const std::vector<bool>& mine);
// All blocks, where they lie in the flat buffer.
std::vector<BlockRun> whole_run(const ParameterTable& table);
// Elements of a buffer that holds the runs.
std::int64_t packed_elements(const std::vector<BlockRun>& runs);
// Where an element of the flat buffer that belongs to a run lies.
std::int64_t packed_place(const std::vector<BlockRun>& runs, std::int64_t element);

}  // namespace lockstep
