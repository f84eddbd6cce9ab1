// Which file a path in a data file leads to. HDF5 follows links and the sources of virtual datasets
// to any file that they name; here every step is looked at before a file is opened, and what the
// user neither named nor allowed is refused. Knows no fields and no splits.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "hdf5.h"

namespace lockstep::data {

// Which files may be opened because a file says so.
class Reach {
 public:
  // `named`: the files that the user named.
  Reach(Follow follow, const std::vector<std::filesystem::path>& named);
  // Throws UserError naming the target, `from` ("a.h5: link /train/x") and the key that allows it.
  void check(const std::filesystem::path& target, const std::string& from) const;

 private:
  Follow follow_;
  std::set<std::filesystem::path> folders_;  // with no links in them
};

// The file, opened once for all who hold it. Takes the lock where it has to open it.
std::shared_ptr<const InputFile> open_input(const std::filesystem::path& path,
                                            InputFile::Hdf5 open = InputFile::Hdf5::kNow);

// An object under the path that leads to it by hard links alone.
struct Located {
  std::shared_ptr<const InputFile> file;
  std::string path;
};
// Follows soft and external links; nothing where a name is not there. An external link's file is
// sought in the folder of the file that has the link. Takes the lock. Throws UserError for a target
// out of reach, DataError for links in a circle, links that only a program understands, and targets
// that are not there.
std::optional<Located> locate(std::shared_ptr<const InputFile> file, const std::string& path,
                              const Reach& reach);

// Names of the links in a located group, in byte order. Takes the lock.
std::vector<std::string> names_in(const Located& group);

// Opens a located dataset. HDF5 follows nothing on the way. A dataset whose data lie in other files
// is opened so that HDF5 seeks them in the folder of its file. The caller holds the lock.
Handle open_located(const InputFile& file, const std::string& path);

// The folder of a file, and where a name that the file has is sought.
std::filesystem::path folder_of(const InputFile& file);
std::filesystem::path seen_from(const InputFile& file, const std::string& name);

}  // namespace lockstep::data
