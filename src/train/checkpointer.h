// Makes checkpoints beside training. At begin() every rank takes a copy of the blocks that it will
// write; from then on a thread of each rank does the work, in phases: all hash their blocks, rank 0
// creates the file, all write, rank 0 gives it its name. At the ends of stretches the ranks agree
// on whether a phase is over, with one number each. Knows no trainer and no clock but its own.
#pragma once
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/train/checkpoint.h"
#include "train/background_task.h"
#include "train/checkpoint_index.h"
#include "train/checkpoint_snapshot.h"

namespace lockstep::train {

struct CheckpointerOptions {
  std::filesystem::path dir;
  int keep = 3;
  bool background = true;  // false: nothing is copied, and finish() must follow begin()
};

// What a checkpoint is besides its state.
struct SaveMarks {
  bool best = false;   // of the evaluations so far
  bool alone = false;  // all others of the folder are another run's, and go when this one is whole
};

struct FinishedSave {
  std::filesystem::path file;
  std::int64_t step = 0;
  Hash128 digest;
  double stood = 0;   // seconds that steps waited for it
  double slowed = 0;  // seconds that the steps beside it took longer, where somebody measured it
  double work = 0;    // seconds that its phases took on this rank: all of it, with no step between
};

// All calls but bytes() and under_way() are collective. Errors are thrown on all ranks alike, once,
// with the half-written file removed and the old checkpoints intact: UserError (full disk, no
// permission), DataError (a value that is not finite, naming tensor and element).
class Checkpointer {
 public:
  // layout: as every state that will be saved; what its tensors' holders point to must stay.
  Checkpointer(comm::Communicator& communicator, const CheckpointerOptions& options,
               const State& layout);
  ~Checkpointer();  // what is under way is given up

  std::uint64_t bytes() const { return snapshot_.bytes(); }  // of the copy, on this rank
  bool under_way() const { return phase_ != Phase::kNone; }
  // Checks the space, then copies. Nothing may be under way. After it the state may change.
  void begin(const State& state, const CheckpointText& text, SaveMarks marks);
  // At the end of a stretch: goes on if all ranks can; what is finished by it, if anything.
  std::optional<FinishedSave> advance();
  std::optional<FinishedSave> finish();  // waits; nothing if nothing is under way

  // Files that were found damaged do not count among those that are kept.
  void distrust(const std::vector<std::filesystem::path>& files) { distrusted_ = files; }

 private:
  enum class Phase : std::uint8_t { kNone, kHash, kCreate, kWrite, kCommit };
  enum Standing : std::int64_t { kFailed, kBusy, kOver };

  Standing agree();
  void start(Phase phase);
  std::optional<FinishedSave> go_on(Standing standing);
  void hand_over_results();
  void give_up() noexcept;
  bool first() const { return communicator_.rank() == 0; }

  // The phases, on the rank's thread.
  void hash();
  void create();
  void write();
  void commit();

  comm::Communicator& communicator_;
  const CheckpointerOptions options_;
  State layout_;
  CheckpointSnapshot snapshot_;
  std::vector<std::filesystem::path> distrusted_;

  // Of the checkpoint under way. A phase's thread has them to itself while it runs.
  Phase phase_ = Phase::kNone;
  std::int64_t step_ = 0;
  SaveMarks marks_;
  CheckpointIndex index_;
  std::vector<Hash128> mine_;    // of this rank's blocks
  std::vector<std::byte> all_;   // of every position's, as gathered
  std::filesystem::path whole_;  // its name when it is whole
  double stood_ = 0, work_ = 0;
  std::atomic<bool> cancelled_ = false;
  BackgroundTask task_;  // last: it ends before what it works on
};

}  // namespace lockstep::train
