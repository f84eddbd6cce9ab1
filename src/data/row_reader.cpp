#include <mutex>
#include <vector>

#include "lockstep/core/error.h"
#include "lockstep/data/loader.h"
#include "samples.h"

namespace lockstep::data {
namespace {

class FileRowReader final : public RowReader {
 public:
  FileRowReader(const Manifest& manifest, const LoaderOptions& options)
      : samples_(manifest, options) {}

  std::int64_t samples() const override { return samples_.count(); }

  void read(std::int64_t first, std::int64_t count, void* input, std::int32_t* labels,
            float* targets) override {
    const std::scoped_lock lock(mutex_);
    const auto rows = static_cast<std::size_t>(count);
    input_.resize(rows * samples_.input().sample_bytes());
    target_.resize(rows * samples_.target().sample_bytes());
    samples_.read(first, count, input_.data(), target_.data(), kept_);
    samples_.convert_input(input_.data(), count, {}, input);
    samples_.convert_target(target_.data(), count, {}, labels, targets);
  }

 private:
  Samples samples_;
  std::mutex mutex_;  // of what follows
  Samples::Kept kept_;
  std::vector<std::byte> input_, target_;
};

}  // namespace

std::unique_ptr<RowReader> make_row_reader(const Manifest& manifest, const LoaderOptions& options) {
  return std::make_unique<FileRowReader>(manifest, options);
}

}  // namespace lockstep::data
