// One block of CUDA threads: runs each as a fiber until it waits, and lets those go on that a
// barrier or their warp has set free. Says who waits where when nobody can go on.
#pragma once
#include <array>
#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "tests/ptx/emulator.h"
#include "tests/ptx/fiber.h"
#include "tests/ptx/thread.h"

namespace lockstep::ptx {

class Block;

enum class State : std::uint8_t { kReady, kAtBarrier, kInWarp, kEnded };

struct RunningThread : Thread {
  Block* block = nullptr;
  Fiber fiber;
  State state = State::kReady;
  bool waited = false;      // ever, in this block
  unsigned barrier_id = 0;  // where state is kAtBarrier
  int warp_operation = 0;   // where state is kInWarp
  const char* at = nullptr;
  std::vector<AsyncCopy> copies;
  unsigned copy_group = 0;  // that the next copy belongs to
};

// Lanes of a warp that do one thing together; one for each distinct mask.
struct WarpOperation {
  unsigned mask = 0, arrived = 0;
  const char* at = nullptr;
  std::array<void*, 32> operands{};
  unsigned generation = 0;
  char tags[2] = {};  // for release and acquire; two, as lanes may be one generation apart
};

struct Warp {
  std::deque<WarpOperation> operations;  // their tags keep their addresses
  const char* barrier_at = nullptr;  // of the lane that came first to this generation of a barrier
  unsigned barrier_generation = ~0u, barrier_id = 0;
};

struct Barrier {
  unsigned arrived = 0, count = 0, generation = 0;
  Votes votes, result;
  char tags[2] = {};
};

class Block {
 public:
  // order: the numbers of all threads, as they take turns. Stacks come from number `first_stack`
  // on.
  Block(const BlockPlace& place, const std::vector<unsigned>& order, Stacks& stacks,
        std::size_t first_stack);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  void prepare(uint3 index);
  void run();  // throws KernelError

  Votes wait(RunningThread& self, unsigned id, unsigned count, bool vote, const char* at);
  void arrive_only(RunningThread& self, unsigned id, unsigned count, const char* at);
  void together(RunningThread& self, unsigned mask, void* operands, Complete complete,
                const char* at, bool orders_memory);

 private:
  static void run_thread(void* thread);
  void arrive(RunningThread& self, unsigned id, unsigned count, bool vote, const char* at);
  void give_stack(RunningThread& thread);
  void turn(RunningThread& thread);
  bool open_barriers();
  void open(unsigned id);
  unsigned lanes_in_block(unsigned warp) const;
  WarpOperation& operation_of(Warp& warp, unsigned mask, int& number) const;
  std::string who_waits() const;

  BlockPlace place_;
  const std::vector<unsigned>& order_;
  Stacks& stacks_;
  std::size_t first_stack_, next_stack_ = 0;
  Stack free_stack_;
  std::vector<RunningThread> threads_;
  std::vector<Warp> warps_;
  std::array<Barrier, 16> barriers_;
  std::unique_ptr<std::uint8_t[]> shared_memory_;
  unsigned live_ = 0;
  std::exception_ptr error_;
};

}  // namespace lockstep::ptx
