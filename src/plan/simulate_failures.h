// A whole run with failures: nodes fail by chance, a checkpoint is written now and then, and what
// was done since the last whole one is done again. Knows steps by their seconds alone.
#pragma once
#include <cstdint>
#include <vector>

#include "lockstep/plan/simulate.h"

namespace lockstep::plan {

struct Endurance {
  double step = 0;            // seconds
  std::int64_t steps = 0;     // of the run
  double between = 0;         // other seconds that the run spends for each step: evaluations
  std::int64_t interval = 0;  // steps between checkpoints; 0: none but the last
  double pause = 0;           // for which steps wait at a checkpoint
  double writing = 0;         // until it is whole, from its beginning; pause <= writing
  std::int64_t nodes = 1;
  double node_mtbf = 0;  // 0: nothing fails
  double restart = 0;
  std::uint64_t seed = 1;
};
struct Endured {
  double seconds = 0;  // of the whole run
  double useful = 0;   // in steps that count
  std::vector<SimulatedFailure> failures;
  bool ends = true;  // false: it gets nowhere, and was given up
};
// Times between failures are exponential. A checkpoint of the last step ends the run.
Endured endure(const Endurance& run);

// Useful seconds / seconds of a run that pauses `checkpoint` seconds after every `interval` of
// work: Daly 2006, eq. 20 (exponential failures, which may come while it writes or restarts).
double expected_goodput(double interval, double checkpoint, double restart, double mtbf);

}  // namespace lockstep::plan
