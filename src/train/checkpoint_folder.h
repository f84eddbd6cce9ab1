// The folder of checkpoints: names, which is newest, which is best, which are kept. Knows nothing
// of what a checkpoint holds.
#pragma once
#include <cstdint>
#include <filesystem>
#include <vector>

namespace lockstep::train {

struct Saved {
  std::int64_t step = 0;
  std::filesystem::path file;
};

std::filesystem::path checkpoint_path(const std::filesystem::path& dir, std::int64_t step);
std::filesystem::path temporary_path(const std::filesystem::path& checkpoint);

// Newest (highest step) first; empty if the folder is absent.
std::vector<Saved> list_checkpoints(const std::filesystem::path& dir);
// What earlier crashes left behind.
void remove_stale_files(const std::filesystem::path& dir);
void mark_best(const std::filesystem::path& checkpoint);
// Removes all but the `keep` newest whole ones, the best and `written`; what is not whole, or in
// `distrusted`, takes no place among them. A file that cannot be removed is a warning: the run does
// not end for it.
void keep_newest(const std::filesystem::path& dir, int keep, const std::filesystem::path& written,
                 const std::vector<std::filesystem::path>& distrusted = {});
// Those of later steps than this one, which a run that went back will do again.
void remove_checkpoints_after(const std::filesystem::path& dir, std::int64_t step);

}  // namespace lockstep::train
