// Checkpoints: one global HDF5 file that any number of ranks can read. Rank 0 creates the layout
// (contiguous, early allocation), every rank pwrites its own blocks, all flush, agree, rename
// (train/checkpointer.h does it while steps go on). The digest is the run's identity in numbers
// (NUMERICS.md 14).
#pragma once
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/core/hash.h"
#include "lockstep/core/parameter_table.h"

namespace lockstep::train {

// A tensor group with the layout of the flat buffer: "parameters", "optimizer/m", ...
struct FlatTensor {
  std::string name;
  float* data = nullptr;  // element e lies at data[e], if this position holds it
  // By block: the position that holds it; null: every position holds all.
  const std::vector<int>* holders = nullptr;
  bool copied = false;  // a copy of the device's, which nobody changes until it is fetched again
};

// Everything that can influence a later number, besides the flat tensors. Plain named numbers, so
// that the digest covers each of them.
struct Progress {
  std::map<std::string, std::int64_t>
      integers;                         // "step", "epoch", "epoch_step", "bad_evaluations", ...
  std::map<std::string, double> reals;  // "best", open metric sums, ...
};

struct CheckpointText {
  std::string resolved_run;  // TOML
  std::string environment;   // JSON: build, CPU, ISA, library versions
  std::string description;   // JSON: the statistics and classes of the training data
};

struct State {
  const ParameterTable* table = nullptr;
  std::vector<FlatTensor> tensors;
  Progress progress;
};

// Collective. Every rank hashes its share of blocks; all ranks return the same digest.
Hash128 digest(comm::Communicator& communicator, const State& state);

// Collective. Writes dir/step-NNNNNNNNNN.h5 (temporary name, fsync, rename; the number is
// progress.integers["step"]), removes all but the `keep` newest, the best and the one just written.
// Throws UserError (full disk, no permission) with the old checkpoints intact; refuses to write a
// non-finite value (DataError naming the tensor and the element). Sets *digest if it is given.
std::filesystem::path write_checkpoint(comm::Communicator& communicator,
                                       const std::filesystem::path& dir, const State& state,
                                       const CheckpointText& text, int keep, bool is_best,
                                       Hash128* digest = nullptr);

// The newest checkpoint in dir whose structure fits its checksum (its numbers are not read), or
// nullopt. (Temporary files are ignored.)
std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& dir);
std::optional<std::filesystem::path> best_checkpoint(const std::filesystem::path& dir);
bool has_checkpoints(const std::filesystem::path& dir);  // whole or damaged
// For --overwrite, on one rank, after the first save: removes every other checkpoint of the folder
// (and `best`, unless it names `kept`).
void remove_checkpoints_except(const std::filesystem::path& dir, const std::filesystem::path& kept);

// Collective. Reads into state.tensors and state.progress, checks every block's hash (DataError
// naming file, tensor and block), and that tensors and shapes are those of this model (UserError
// naming the first that differs). kListed is for evaluation: the file may hold more tensors (an
// optimizer's) than state.tensors lists; only the listed ones are read.
enum class ReadScope { kAll, kListed };
void read_checkpoint(comm::Communicator& communicator, const std::filesystem::path& file,
                     State& state, ReadScope scope = ReadScope::kAll);

// Collective. Reads the newest checkpoint in dir, of at most `most` steps, that read_checkpoint()
// finds sound, with a warning that names those passed over and the steps that are lost; no file:
// dir holds none. DataError if it holds some and all are damaged.
struct Restored {
  std::filesystem::path file;
  std::vector<std::filesystem::path> damaged;  // newer than it
};
Restored read_newest_checkpoint(comm::Communicator& communicator, const std::filesystem::path& dir,
                                State& state,
                                std::int64_t most = std::numeric_limits<std::int64_t>::max());

// For one process, without MPI.
bool is_checkpoint(const std::filesystem::path& file);  // ends as a whole checkpoint does
CheckpointText read_checkpoint_text(const std::filesystem::path& file);
std::string checkpoint_inspect_text(const std::filesystem::path& file);
void check_checkpoint(const std::filesystem::path& file);  // reads every block; DataError as above

struct Comparison {
  bool equal = false;
  // Digests; the first tensor, block and element that differ; what differs in progress, run and
  // environment.
  std::string text;
};
// Reads and checks every block of both. Throws as read_checkpoint does for a file that is damaged.
Comparison compare_checkpoints(const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace lockstep::train
