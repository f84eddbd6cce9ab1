// From names and globs to files, in an order that no file system decides. Knows no HDF5.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace lockstep::data {

// The files of these names, in this order; those of a glob (*, ?, [a-z]) in order of their names,
// byte by byte. A name that is a file is no glob. Throws UserError naming `key` where a glob
// matches nothing or a file comes twice.
std::vector<std::filesystem::path> expand_files(const std::vector<std::string>& names,
                                                const std::string& key);

}  // namespace lockstep::data
