#include "flat_passes.h"

#include <algorithm>
#include <cstring>

#include "lockstep/core/error.h"

namespace lockstep::comm {
namespace {

constexpr const char* kText = "values of use";

}  // namespace

FlatPasses::FlatPasses(MPI_Comm messages, const FlatPlan& plan, const FlatLayout& layout,
                       const FlatMemory& memory)
    : plan_(plan),
      memory_(memory),
      local_(plan.topology.local()),
      addresses_(plan.uses.size()),
      sends_(plan.uses.size()),
      receives_(plan.uses.size()) {
  for (std::size_t i = 0; i < plan.uses.size(); ++i) {
    const FlatPlan::Use& use = plan.uses[i];
    float* const place = memory.place(static_cast<int>(i));
    for (std::size_t r = 0; r < use.at.size(); ++r) {
      addresses_[i].push_back(use.at[r] >= 0 ? place + use.at[r]
                                             : memory.flat() + layout.uses[i].ranges[r].begin);
    }
    for (const FlatMove& move : use.sends) {
      sends_[i].add_send(messages, memory.flat() + move.range.begin, move.range.size(),
                         plan.topology.rank_at[move.peer]);
    }
    for (const FlatMove& move : use.receives) {
      receives_[i].add_receive(messages, place + move.at, move.range.size(),
                               plan.topology.rank_at[move.peer]);
    }
  }
}

void FlatPasses::begin(int uses) {
  LOCKSTEP_CHECK(uses_ == 0, "a pass begins in another");
  LOCKSTEP_CHECK(0 <= uses && uses <= static_cast<int>(plan_.uses.size()),
                 "a pass of {} uses of {}", uses, plan_.uses.size());
  uses_ = uses;
  wanted_ = std::min(1, uses);
  progress();
}

bool FlatPasses::here(int use) const {
  LOCKSTEP_CHECK(use < wanted_ && use >= released_, "use {} of a pass is held out of turn", use);
  if (!plan_.uses[use].gathered()) return true;
  for (int l = 0; l < plan_.locals(); ++l) {
    if (!reached(memory_.brought(l), passed_ + use + 1)) return false;
  }
  return true;
}

void FlatPasses::held(int use, const float** out) {
  std::copy(addresses_[use].begin(), addresses_[use].end(), out);
  wanted_ = std::min(use + 2, uses_);
  progress();
}

void FlatPasses::release(int use) {
  LOCKSTEP_CHECK(use == released_ && use < uses_, "use {} of a pass is released out of turn", use);
  ++released_;
  comm::publish(memory_.released(local_), passed_ + released_);
  progress();
}

bool FlatPasses::sent() {
  progress();
  return sent_ == uses_;
}

void FlatPasses::end() {
  passed_ += uses_;
  uses_ = wanted_ = started_ = sent_ = posted_ = brought_ = released_ = 0;
}

void FlatPasses::progress() {
  // Owners send from flat(), which does not change in a pass; nobody's place is in the way.
  while (started_ < wanted_) {
    sends_[started_].start(kText, started_);
    bytes_sent_ += sends_[started_++].bytes();
  }
  while (posted_ < wanted_ && place_is_free(posted_)) bring(posted_++);
  while (brought_ < posted_ && receives_[brought_].done()) {
    comm::publish(memory_.brought(local_), passed_ + ++brought_);
  }
  while (sent_ < started_ && sends_[sent_].done()) ++sent_;
}

bool FlatPasses::place_is_free(int use) const {
  if (!plan_.uses[use].gathered()) return true;
  for (int l = 0; l < plan_.locals(); ++l) {
    if (!reached(memory_.released(l), last_in_place_[use & 1])) return false;
  }
  return true;
}

void FlatPasses::bring(int use) {
  const FlatPlan::Use& planned = plan_.uses[use];
  if (!planned.gathered()) return;
  last_in_place_[use & 1] = passed_ + use + 1;
  receives_[use].start(kText, use);
  for (const FlatMove& copy : planned.copies) {
    std::memcpy(memory_.place(use) + copy.at, memory_.flat() + copy.range.begin,
                static_cast<std::size_t>(copy.range.size()) * sizeof(float));
  }
}

}  // namespace lockstep::comm
