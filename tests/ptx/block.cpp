#include "tests/ptx/block.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "tests/ptx/checkers.h"

namespace lockstep::ptx {

namespace {

constexpr std::size_t kSharedAlignment = 1024, kRedZone = 256;
constexpr unsigned kWarp = 32;

RunningThread& running(Thread& thread) { return static_cast<RunningThread&>(thread); }

}  // namespace

Block::Block(const BlockPlace& place, const std::vector<unsigned>& order, Stacks& stacks,
             std::size_t first_stack)
    : place_(place),
      order_(order),
      stacks_(stacks),
      first_stack_(first_stack),
      threads_(order.size()),
      warps_((order.size() + kWarp - 1) / kWarp) {
  const std::size_t bytes = place.shared.bytes + kSharedAlignment + kRedZone;
  shared_memory_.reset(new std::uint8_t[bytes]);
  const auto start = reinterpret_cast<std::uintptr_t>(shared_memory_.get());
  place_.shared.base = reinterpret_cast<std::uint8_t*>((start + kSharedAlignment - 1) &
                                                       ~std::uintptr_t{kSharedAlignment - 1});
  poison(place_.shared.base + place.shared.bytes, kRedZone);
  const dim3& extent = place.extent;
  for (unsigned i = 0; i < threads_.size(); ++i) {
    RunningThread& thread = threads_[i];
    thread.place = &place_;
    thread.block = this;
    thread.number = i;
    thread.warp_lane = i % kWarp;
    thread.index = {i % extent.x, i / extent.x % extent.y, i / (extent.x * extent.y)};
  }
}

Block::~Block() {
  for (RunningThread& thread : threads_) thread.fiber.drop();
  unpoison(place_.shared.base + place_.shared.bytes, kRedZone);
}

void Block::prepare(uint3 index) {
  place_.index = index;
  // All ones: what is read before it was written is NaN, or an integer far out of range.
  std::memset(place_.shared.base, 0xFF, place_.shared.bytes);
  barriers_ = {};
  for (Warp& warp : warps_) {
    warp.operations.clear();
    warp.barrier_generation = ~0u;
  }
  next_stack_ = 0;
  free_stack_ = {};
  live_ = static_cast<unsigned>(threads_.size());
  error_ = nullptr;
  for (RunningThread& thread : threads_) {
    thread.state = State::kReady;
    thread.waited = false;
    thread.copies.clear();
    thread.copy_group = 0;
    thread.fiber.drop();
    thread.fiber.prepare(&Block::run_thread, &thread);
  }
}

void Block::run_thread(void* argument) {
  auto& self = *static_cast<RunningThread*>(argument);
  try {
    self.place->kernel->code(self);
    // A device also makes the copies that nobody waits for, from memory that must be there.
    for (const AsyncCopy& copy : self.copies) {
      std::memcpy(copy.to, copy.from, copy.from_bytes);
      std::memset(copy.to + copy.from_bytes, 0, copy.bytes - copy.from_bytes);
    }
  } catch (...) {
    self.block->error_ = std::current_exception();
  }
  release(self.block);  // for run(): a kernel's end comes before what its caller does next
  self.state = State::kEnded;
}

// A thread that ended without having waited hands its stack on, so that a kernel without barriers
// stays in the cache; not under the race check, where that would look like a race.
void Block::give_stack(RunningThread& thread) {
  if (free_stack_.low != nullptr && !kRaceCheck) {
    thread.fiber.take(free_stack_);
    free_stack_ = {};
  } else {
    thread.fiber.take(stacks_.at(first_stack_ + next_stack_++));
  }
}

void Block::turn(RunningThread& thread) {
  if (!thread.fiber.has_stack()) give_stack(thread);
  thread.fiber.resume();
  if (error_) std::rethrow_exception(error_);
  if (thread.state == State::kEnded) {
    --live_;
    if (!thread.waited) free_stack_ = thread.fiber.stack();
  }
}

void Block::run() {
  while (live_ > 0) {
    bool progress = false;
    for (const unsigned number : order_) {
      RunningThread& thread = threads_[number];
      if (thread.state != State::kReady) continue;
      turn(thread);
      progress = true;
    }
    if (live_ > 0 && !open_barriers() && !progress) {
      const auto stuck = std::find_if(threads_.begin(), threads_.end(), [](const RunningThread& t) {
        return t.state != State::kEnded;
      });
      fail(*stuck, stuck->at, who_waits().c_str());
    }
  }
  acquire(this);
}

std::string Block::who_waits() const {
  struct Place {
    unsigned threads = 0, first = 0;
  };
  std::map<std::string, Place> places;
  for (const RunningThread& thread : threads_) {
    std::string where = "have ended";
    if (thread.state == State::kAtBarrier) where = std::string("wait at ") + thread.at;
    if (thread.state == State::kInWarp) {
      const WarpOperation& operation =
          warps_[thread.number / kWarp].operations[thread.warp_operation];
      char lanes[32];
      std::snprintf(lanes, sizeof lanes, "0x%08x", operation.mask & ~operation.arrived);
      where = std::string("wait for lanes ") + lanes + " of their warp at " + thread.at;
    }
    Place& place = places[where];
    if (place.threads++ == 0) place.first = thread.number;
  }
  std::string text = "no thread of the block can go on:";
  const char* separator = " ";
  for (const auto& [where, place] : places) {
    text += separator + std::to_string(place.threads) + " (first " + std::to_string(place.first) +
            ") " + where;
    separator = "; ";
  }
  return text;
}

// Barriers ---------------------------------------------------------------------------------------

void Block::open(unsigned id) {
  Barrier& barrier = barriers_[id];
  barrier.result = barrier.votes;
  barrier.votes = {};
  barrier.arrived = 0;
  barrier.count = 0;
  ++barrier.generation;
  for (RunningThread& thread : threads_)
    if (thread.state == State::kAtBarrier && thread.barrier_id == id) thread.state = State::kReady;
}

// Barriers for all threads open when those that have not ended are there.
bool Block::open_barriers() {
  bool opened = false;
  for (unsigned id = 0; id < barriers_.size(); ++id)
    if (barriers_[id].count == 0 && barriers_[id].arrived == live_) {
      open(id);
      opened = true;
    }
  return opened;
}

void Block::arrive(RunningThread& self, unsigned id, unsigned count, bool vote, const char* at) {
  if (id >= barriers_.size()) fail(self, at, "there are 16 barriers, 0 to 15");
  if (count % kWarp != 0) fail(self, at, "a barrier's count of threads must be a multiple of 32");
  Barrier& barrier = barriers_[id];
  Warp& warp = warps_[self.number / kWarp];
  if (warp.barrier_generation == barrier.generation && warp.barrier_id == id &&
      warp.barrier_at != at)
    fail(self, at,
         (std::string("divergent barrier: other threads of the same warp wait at ") +
          warp.barrier_at)
             .c_str());
  warp.barrier_generation = barrier.generation;
  warp.barrier_id = id;
  warp.barrier_at = at;
  if (barrier.arrived > 0 && barrier.count != count)
    fail(self, at, "threads have come to this barrier with another count");
  barrier.count = count;
  barrier.votes.any |= vote;
  barrier.votes.all &= vote;
  barrier.votes.count += vote;
  ++barrier.arrived;
  release(&barrier.tags[barrier.generation & 1]);
}

void Block::arrive_only(RunningThread& self, unsigned id, unsigned count, const char* at) {
  arrive(self, id, count, true, at);
  if (barriers_[id].arrived == count) open(id);
}

Votes Block::wait(RunningThread& self, unsigned id, unsigned count, bool vote, const char* at) {
  arrive(self, id, count, vote, at);
  Barrier& barrier = barriers_[id];
  void* const tag = &barrier.tags[barrier.generation & 1];
  self.state = State::kAtBarrier;
  self.barrier_id = id;
  self.at = at;
  self.waited = true;
  if (count > 0 && barrier.arrived == count) open(id);
  self.fiber.suspend();
  acquire(tag);
  return barrier.result;
}

// Warps ------------------------------------------------------------------------------------------

unsigned Block::lanes_in_block(unsigned warp) const {
  const auto lanes = static_cast<unsigned>(threads_.size()) - warp * kWarp;
  return lanes >= kWarp ? ~0u : (1u << lanes) - 1;
}

WarpOperation& Block::operation_of(Warp& warp, unsigned mask, int& number) const {
  for (std::size_t i = 0; i < warp.operations.size(); ++i)
    if (warp.operations[i].mask == mask) {
      number = static_cast<int>(i);
      return warp.operations[i];
    }
  number = static_cast<int>(warp.operations.size());
  warp.operations.push_back({.mask = mask});
  return warp.operations.back();
}

void Block::together(RunningThread& self, unsigned mask, void* operands, Complete complete,
                     const char* at, bool orders_memory) {
  const unsigned number = self.number / kWarp;
  Warp& warp = warps_[number];
  mask &= lanes_in_block(number);
  if (!(mask >> self.warp_lane & 1)) fail(self, at, "the calling lane is not in its own mask");
  int slot = 0;
  WarpOperation& operation = operation_of(warp, mask, slot);
  if (operation.arrived != 0 && operation.at != at && complete != nullptr)
    fail(self, at, (std::string("other lanes of the same mask are at ") + operation.at).c_str());
  operation.at = at;
  operation.arrived |= 1u << self.warp_lane;
  operation.operands[self.warp_lane] = operands;
  const unsigned generation = operation.generation & 1;
  if (orders_memory) release(&operation.tags[generation]);
  if (operation.arrived == mask) {
    if (complete) complete(operation.operands.data(), mask);
    operation.arrived = 0;
    ++operation.generation;
    const unsigned first = number * kWarp;
    for (unsigned lanes = mask & ~(1u << self.warp_lane); lanes != 0; lanes &= lanes - 1)
      threads_[first + static_cast<unsigned>(__builtin_ctz(lanes))].state = State::kReady;
  } else {
    self.state = State::kInWarp;
    self.warp_operation = slot;
    self.at = at;
    self.waited = true;
    self.fiber.suspend();
  }
  if (orders_memory) acquire(&warp.operations[slot].tags[generation]);
}

// What translated code calls ---------------------------------------------------------------------

Votes barrier(Thread& self, unsigned id, unsigned count, bool vote, const char* at) {
  return running(self).block->wait(running(self), id, count, vote, at);
}

void barrier_arrive(Thread& self, unsigned id, unsigned count, const char* at) {
  if (count == 0) fail(self, at, "bar.arrive needs a count of threads");
  running(self).block->arrive_only(running(self), id, count, at);
}

void warp_barrier(Thread& self, unsigned mask, const char* at) {
  running(self).block->together(running(self), mask, nullptr, nullptr, at, true);
}

void collective(Thread& self, unsigned mask, void* operands, Complete complete, const char* at) {
  running(self).block->together(running(self), mask, operands, complete, at, false);
}

void queue_copy(Thread& self, const AsyncCopy& copy) {
  RunningThread& thread = running(self);
  thread.copies.push_back(copy);
  thread.copies.back().group = thread.copy_group;
}

void commit_copies(Thread& self) { ++running(self).copy_group; }

bool next_copy(Thread& self, unsigned pending, AsyncCopy& copy) {
  RunningThread& thread = running(self);
  if (thread.copies.empty() || thread.copies.front().group + pending >= thread.copy_group)
    return false;
  copy = thread.copies.front();
  thread.copies.erase(thread.copies.begin());
  return true;
}

void memory_fence() {
  static char tag;
  acquire(&tag);
  release(&tag);
}

}  // namespace lockstep::ptx
