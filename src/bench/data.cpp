#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>

#include "bench/data_parts.h"
#include "lockstep/core/error.h"
#include "lockstep/core/units.h"
#include "lockstep/data/normalisation.h"
#include "lockstep/data/plain_hdf5.h"

namespace lockstep::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kSamples = 2048, kChunk = 64;
const Shape kImage{64, 64, 3};

// A dataset that is made in a folder, and goes with this.
class MadeData {
 public:
  MadeData(comm::Communicator& communicator, const std::string& folder)
      : communicator_(communicator) {
    std::string name;
    communicator.together([&] {
      if (communicator.rank() != 0) return;
      file_ = fs::path(folder) / fmt::format("lockstep-bench-{}.h5", ::getpid());
      name = file_.string();
      data::write_plain_images(file_, kSamples, kImage, kChunk);
    });
    name_ = comm::broadcast_text(communicator, name);
  }
  ~MadeData() {
    std::error_code ignored;
    if (communicator_.rank() == 0) fs::remove(file_, ignored);
  }
  MadeData(const MadeData&) = delete;
  MadeData& operator=(const MadeData&) = delete;
  const std::string& name() const { return name_; }

 private:
  comm::Communicator& communicator_;
  fs::path file_;  // of rank 0
  std::string name_;
};

train::Run run_on(const std::string& file) {
  train::Run run;
  run.data.dataset.path = {file};
  run.data.input = "image";
  run.data.target = "label";
  run.data.normalise = data::Normalise::kNone;
  run.model.preset.preset = "mlp";
  run.train.batch = 64;
  run.train.lanes = 8;
  return run;
}

}  // namespace

Results bench_data(comm::Communicator& communicator, const Request& request) {
  require_some(request.only, std::vector<std::string>{"read", "decode", "loader"});
  std::unique_ptr<MadeData> made;
  train::Run run;
  if (request.run != nullptr) {
    run = *request.run;
  } else {
    made = std::make_unique<MadeData>(communicator, request.folder);
    run = run_on(made->name());
  }
  communicator.set_activity("a benchmark of reading", -1);
  const data::Manifest manifest = data::read_manifest(communicator, run.data.dataset);
  const DataSubject subject{communicator, request, run, manifest, made != nullptr};
  Results results;
  results.title = "lockstep bench data";
  results.facts = machine_facts(communicator, cpu_device());
  results.facts.emplace_back("data", made ? fmt::format("made in {}: {} images of {}",
                                                        request.folder, kSamples, kImage.text())
                                          : manifest.name());
  const double raw = add_reading(subject, results);
  add_decoding(subject, raw, results);
  add_loading(subject, raw, results);
  results.notes = {
      "All ranks read at once; rates are of all of them together. What was read before comes from "
      "the page cache.",
      "read: pread of the files' bytes, 1 MiB at once. decode: units of a field (chunks, or rows of "
      "contiguous data), verified against plain H5Dread, which is timed beside it. loader: what a "
      "step waits for, shuffled, gathered and converted.",
      "ceiling: stored bytes that a second takes from the files, by those of pread."};
  if (wanted(request.only, "loader", "") && !made)
    results.notes.push_back(
        "The loader's samples were compared with the rows that the order names, converted alone.");
  communicator.barrier();
  return results;
}

}  // namespace lockstep::bench
