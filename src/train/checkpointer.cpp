#include "train/checkpointer.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "lockstep/core/fault.h"
#include "lockstep/core/files.h"
#include "lockstep/core/log.h"
#include "lockstep/core/units.h"
#include "train/checkpoint_blocks.h"
#include "train/checkpoint_folder.h"
#include "train/checkpoint_seal.h"
#include "train/checkpoint_space.h"
#include "train/file_descriptor.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

// Between two of them a writing thread looks whether the checkpoint has been given up.
constexpr std::size_t kWriteBytes = std::size_t{4} << 20;
constexpr std::chrono::microseconds kShortNap{50}, kLongNap{5000};
constexpr double kSilence = 60;  // seconds of waiting for a disk after which it is said

// Blocks of a tensor with one holder were not cut: they are a replica's own.
bool is_cut(const FlatTensor& tensor) {
  if (tensor.holders == nullptr) return false;
  const std::vector<int>& holders = *tensor.holders;
  return std::ranges::adjacent_find(holders, std::ranges::not_equal_to()) != holders.end();
}

void describe_tensors(CheckpointIndex& index, const State& state, const comm::Mesh& mesh) {
  for (const FlatTensor& tensor : state.tensors) {
    index.tensors.push_back(tensor.name);
    if (is_cut(tensor)) index.cut[tensor.name] = comm::kDataAxis;
  }
  for (const comm::MeshAxis& axis : mesh.axes()) {
    if (std::ranges::any_of(index.cut, [&](const auto& cut) { return cut.second == axis.name; }))
      index.mesh.push_back(axis);
  }
}

void make_folder(const fs::path& dir) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error) {
    throw UserError(
        "cannot make the folder {} for checkpoints: {}; set checkpoint.dir to a folder "
        "that can be written",
        dir.string(), error.message());
  }
}

}  // namespace

Checkpointer::Checkpointer(comm::Communicator& communicator, const CheckpointerOptions& options,
                           const State& layout)
    : communicator_(communicator),
      options_(options),
      layout_(layout),
      snapshot_(layout, communicator.topology().position, communicator.topology().ranks(),
                options.background) {
  index_.table = *layout.table;
  describe_tensors(index_, layout, communicator.mesh());
}

Checkpointer::~Checkpointer() { give_up(); }

void Checkpointer::begin(const State& state, const CheckpointText& text, SaveMarks marks) {
  LOCKSTEP_CHECK(!under_way(), "a checkpoint is under way");
  stood_ = work_ = 0;
  const ScopedTimer timer(stood_);
  step_ = state.progress.integers.at("step");
  communicator_.set_activity("saving a checkpoint", step_);
  whole_ = checkpoint_path(options_.dir, step_);
  index_.file = temporary_path(whole_);
  index_.progress = state.progress;
  index_.text = text;
  marks_ = marks;
  communicator_.together([&] {
    if (!first()) return;
    make_folder(options_.dir);
    check_space(index_);
  });
  cancelled_ = false;
  fault::pass("snapshot", step_);
  const events::Span span(events::Kind::kCheckpoint, "copying for a checkpoint",
                          {.step = step_, .bytes = snapshot_.bytes()});
  snapshot_.take(state);
  start(Phase::kHash);
}

void Checkpointer::start(Phase phase) {
  phase_ = phase;
  const auto work = [this](const char* what, void (Checkpointer::*body)()) {
    task_.start([this, what, body] {
      events::name_thread("checkpoint");
      const events::Span span(events::Kind::kCheckpoint, what, {.step = step_});
      (this->*body)();
    });
  };
  if (phase == Phase::kHash) work("hashing for a checkpoint", &Checkpointer::hash);
  if (phase == Phase::kCreate && first()) work("creating a checkpoint", &Checkpointer::create);
  if (phase == Phase::kWrite) work("writing a checkpoint", &Checkpointer::write);
  if (phase == Phase::kCommit && first()) work("naming a checkpoint", &Checkpointer::commit);
}

Checkpointer::Standing Checkpointer::agree() {
  const Standing mine = task_.failed() ? kFailed : task_.over() ? kOver : kBusy;
  return static_cast<Standing>(communicator_.min(mine));
}

std::optional<FinishedSave> Checkpointer::advance() {
  if (!under_way()) return std::nullopt;
  const double start = seconds_now();
  const Standing standing = agree();
  std::optional<FinishedSave> finished;
  if (standing != kBusy) finished = go_on(standing);
  stood_ += seconds_now() - start;
  if (finished) finished->stood = stood_;
  return finished;
}

std::optional<FinishedSave> Checkpointer::finish() {
  if (!under_way()) return std::nullopt;
  communicator_.set_activity("writing a checkpoint", step_);
  const events::Span span(events::Kind::kCheckpoint, "waiting for a checkpoint", {.step = step_});
  const double start = seconds_now();
  auto nap = kShortNap;
  bool said = false;
  std::optional<FinishedSave> finished;
  // Asking again and again, so that a slow disk is no rank that does not answer.
  while (!finished) {
    if (const Standing standing = agree(); standing != kBusy) {
      finished = go_on(standing);
      nap = kShortNap;
      continue;
    }
    std::this_thread::sleep_for(nap);
    nap = std::min(2 * nap, kLongNap);
    const double waited = seconds_now() - start;
    if (said || waited < kSilence) continue;
    log::warn("has waited {} for {}: its disk is slow", seconds_text(waited), index_.file.string());
    said = true;
  }
  finished->stood = stood_ + seconds_now() - start;
  return finished;
}

// All threads are done with a phase, or one has failed.
std::optional<FinishedSave> Checkpointer::go_on(Standing standing) {
  if (standing == kFailed) cancelled_ = true;
  try {
    communicator_.together([&] { task_.check(); });
    work_ += task_.seconds();
    hand_over_results();
  } catch (...) {
    give_up();
    throw;
  }
  if (phase_ != Phase::kCommit) {
    start(static_cast<Phase>(static_cast<int>(phase_) + 1));
    return std::nullopt;
  }
  phase_ = Phase::kNone;
  return FinishedSave{.file = whole_, .step = step_, .digest = index_.digest, .work = work_};
}

void Checkpointer::hand_over_results() {
  if (phase_ == Phase::kHash) all_ = communicator_.gather_all(std::as_bytes(std::span(mine_)));
  if (phase_ == Phase::kCreate) {
    index_.offsets.resize(index_.tensors.size() * static_cast<std::size_t>(index_.table.size()));
    communicator_.broadcast(std::as_writable_bytes(std::span(index_.offsets)), 0);
    comm::broadcast_value(communicator_, index_.digest);
  }
}

void Checkpointer::give_up() noexcept {
  if (!under_way()) return;
  cancelled_ = true;
  task_.wait();
  phase_ = Phase::kNone;
  std::error_code ignored;
  if (first()) fs::remove(index_.file, ignored);
}

void Checkpointer::hash() {
  refuse_nan(index_.progress);
  mine_ = hash_spans(layout_, snapshot_.spans(), Numbers::kFinite);
}

void Checkpointer::create() {
  index_.hashes = in_state_order(all_, layout_, communicator_.topology().ranks());
  index_.digest = digest_of(index_.hashes, index_.progress);
  remove_stale_files(options_.dir);
  reserve_space(index_);
  create_checkpoint_file(index_);
  seal_file(index_.file, index_.number_ranges());
  reserve_numbers(index_);
}

void Checkpointer::write() {
  const FileDescriptor file(index_.file, O_WRONLY);
  try {
    for (const auto& [span, numbers] : snapshot_.spans()) {
      const std::int64_t before = span.begin - index_.table[span.parameter].offset;
      const std::uint64_t at = index_.offset(span.tensor, span.parameter) +
                               static_cast<std::uint64_t>(before) * sizeof(float);
      const std::size_t bytes = static_cast<std::size_t>(span.elements) * sizeof(float);
      for (std::size_t done = 0; done < bytes; done += kWriteBytes) {
        if (cancelled_) return;
        fault::pass("write", step_);
        write_at(file.get(), reinterpret_cast<const std::byte*>(numbers) + done,
                 std::min(kWriteBytes, bytes - done), at + done, index_.file);
      }
    }
    file.sync(index_.file);
  } catch (const UserError& error) {
    throw cannot_save(index_, error.what());
  }
}

// Nothing old is removed before what is new has been read back, and its name is on the disk.
void Checkpointer::commit() {
  try {
    check_seal(index_.file);
    fault::pass("rename", step_);
    commit_file(index_.file, whole_);
    check_seal(whole_);
  } catch (const DataError& error) {
    throw DataError(
        "{} was written but cannot be read back ({}); earlier checkpoints are intact: "
        "name a folder on another disk in checkpoint.dir",
        whole_.string(), error.what());
  }
  if (marks_.best) mark_best(whole_);
  if (marks_.alone) remove_checkpoints_except(options_.dir, whole_);
  keep_newest(options_.dir, options_.keep, whole_, distrusted_);
}

fs::path write_checkpoint(comm::Communicator& communicator, const fs::path& dir, const State& state,
                          const CheckpointText& text, int keep, bool is_best, Hash128* digest) {
  Checkpointer one(communicator, {dir, keep, false}, state);
  one.begin(state, text, {is_best});
  const auto saved = one.finish();
  if (digest != nullptr) *digest = saved->digest;
  return saved->file;
}

}  // namespace lockstep::train
