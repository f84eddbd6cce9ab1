// Failures on purpose, so that what follows one can be tried before one comes: LOCKSTEP_FAULT says
// what goes wrong, where, on which rank and at which step. Knows places by name only.
#pragma once
#include <cstdint>
#include <string>

namespace lockstep::fault {

// "kill rank=1 at=fold step=12", several of them separated by ";". What goes wrong:
//   kill  the process ends by SIGKILL            stop  it stops, as by SIGSTOP
//   slow  it sleeps for ms=N, at each of the steps from `step` on
//   nan   the place puts a NaN among its numbers  flip  it flips one bit of them
// rank: 0 unless given. lane: for places that see lanes, whichever rank runs it. step: as people
// count them, from 1; without one the first time that the place is reached. Where: one of places().
// Each but slow happens once in a process. Throws UserError.
void arm(const std::string& text, int rank);
bool armed();  // on this rank

// Called by the places themselves. Costs a look at a flag where nothing is armed.
void pass(const char* place, std::int64_t step);  // kill, stop, slow
// nan (flip: false) or flip: now, and only once. lane: -1 where the place sees none.
bool damages(const char* place, std::int64_t step, bool& flip, std::int64_t lane = -1);
// A NaN, or x with this bit flipped.
float damaged(float x, bool flip, int bit);

}  // namespace lockstep::fault
