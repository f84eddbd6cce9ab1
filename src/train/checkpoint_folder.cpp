#include "train/checkpoint_folder.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <string_view>

#include "lockstep/core/error.h"
#include "lockstep/core/files.h"
#include "lockstep/core/log.h"
#include "lockstep/train/checkpoint.h"
#include "train/checkpoint_seal.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-", kSuffix = ".h5", kTemporary = ".tmp", kBest = "best";

// The step of "step-0000001234.h5", or -1 if this is another file.
std::int64_t step_of(std::string_view name) {
  if (name.size() <= kPrefix.size() + kSuffix.size() || !name.starts_with(kPrefix) ||
      !name.ends_with(kSuffix)) {
    return -1;
  }
  const std::string_view digits =
      name.substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
  std::int64_t step = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  return error == std::errc() && end == digits.data() + digits.size() ? step : -1;
}

std::vector<fs::path> files_of(const fs::path& dir) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator at(dir, error), end; !error && at != end; at.increment(error)) {
    files.push_back(at->path());
  }
  return files;
}

void remove_or_warn(const fs::path& file) {
  std::error_code error;
  fs::remove(file, error);
  if (error) log::warn("cannot remove the old {}: {}", file.string(), error.message());
}

}  // namespace

fs::path checkpoint_path(const fs::path& dir, std::int64_t step) {
  return dir / fmt::format("{}{:010}{}", kPrefix, step, kSuffix);
}

fs::path temporary_path(const fs::path& checkpoint) {
  fs::path path = checkpoint;
  path += kTemporary;
  return path;
}

std::vector<Saved> list_checkpoints(const fs::path& dir) {
  std::vector<Saved> saved;
  for (const fs::path& file : files_of(dir)) {
    if (const std::int64_t step = step_of(file.filename().string()); step >= 0) {
      saved.push_back({step, file});
    }
  }
  std::ranges::sort(saved, [](const Saved& a, const Saved& b) { return a.step > b.step; });
  return saved;
}

void remove_stale_files(const fs::path& dir) {
  for (const fs::path& file : files_of(dir)) {
    const std::string whole = file.filename().string();
    std::string_view name = whole;
    if (!name.ends_with(kTemporary)) continue;
    name.remove_suffix(kTemporary.size());
    if (step_of(name) >= 0 || name == kBest) remove_or_warn(file);
  }
}

void mark_best(const fs::path& checkpoint) {
  write_file_atomically(checkpoint.parent_path() / kBest, checkpoint.filename().string() + "\n");
}

void keep_newest(const fs::path& dir, int keep, const fs::path& written,
                 const std::vector<fs::path>& distrusted) {
  const std::optional<fs::path> best = best_checkpoint(dir);
  int whole = 0;  // and newer than the one that is looked at
  for (const Saved& saved : list_checkpoints(dir)) {
    if (whole >= std::max(keep, 1)) {
      if (saved.file != written && saved.file != best) remove_or_warn(saved.file);
    } else if (is_sealed(saved.file) &&
               std::ranges::find(distrusted, saved.file) == distrusted.end()) {
      ++whole;
    }
  }
}

std::optional<fs::path> newest_checkpoint(const fs::path& dir) {
  for (const Saved& saved : list_checkpoints(dir)) {
    try {
      check_seal(saved.file);
      return saved.file;
    } catch (const Error&) {  // the one before it, then
    }
  }
  return std::nullopt;
}

std::optional<fs::path> best_checkpoint(const fs::path& dir) {
  if (!fs::exists(dir / kBest)) return std::nullopt;
  std::string name = read_file(dir / kBest);
  name.erase(name.find_last_not_of(" \r\n") + 1);
  if (step_of(name) < 0 || !fs::exists(dir / name)) return std::nullopt;
  return dir / name;
}

bool has_checkpoints(const fs::path& dir) { return !list_checkpoints(dir).empty(); }

void remove_checkpoints_except(const fs::path& dir, const fs::path& kept) {
  if (best_checkpoint(dir) != kept && fs::exists(dir / kBest)) remove_or_warn(dir / kBest);
  for (const Saved& saved : list_checkpoints(dir)) {
    if (saved.file.filename() != kept.filename()) remove_or_warn(saved.file);
  }
}

void remove_checkpoints_after(const fs::path& dir, std::int64_t step) {
  for (const Saved& saved : list_checkpoints(dir)) {
    if (saved.step > step) remove_or_warn(saved.file);
  }
}

}  // namespace lockstep::train
