// The splits and fields of a file that nobody described: a group is a split, datasets in the root
// form the split "train".
#pragma once
#include <string>
#include <vector>

#include "described.h"

namespace lockstep::data {

// Of one file, "train" first, then "val" and "test". Follows links within reach.
std::vector<Split> find_splits(std::int32_t file, const Reach& reach, FileTable& table);

// Of several files that are alike, one after another. Throws DataError naming the file that
// differs from the first.
std::vector<Split> find_splits(const std::vector<std::int32_t>& files, const Reach& reach,
                               FileTable& table);

}  // namespace lockstep::data
