// Damaged metadata makes HDF5 crash on some files and hang on others. So another process walks all
// metadata of a file, under a time limit, before this one opens it. Knows no fields: what lies in a
// file is walked, whether it is used or not.
#pragma once
#include <filesystem>
#include <span>
#include <string>

#include "lockstep/data/description.h"

namespace lockstep::data {

// The program that is started as `program inspect --probe --follow WORD -`: this one, by
// "/proc/self/exe". Empty, as at first: files are opened unwalked.
void set_probe_program(std::filesystem::path program);

// Returns when each file has been walked, or was before and has not changed since. Several
// processes share many files. Throws DataError naming the file at which the walk crashed or did not
// end within `seconds` (and one more for each GB of the file). Where no process can be started:
// warns once, and returns.
void probe(std::span<const std::filesystem::path> files, Follow follow, double seconds);

// What the other process does: walks the files, or those that stdin names, each name ending in a
// zero byte, if there is only "-". Prints a line for each file when it is done with it.
void walk_metadata(std::span<const std::string> files, Follow follow);

}  // namespace lockstep::data
