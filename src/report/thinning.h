// Which points of curves a page keeps: at most so many, the extremes of every curve among them.
#pragma once
#include <cstddef>
#include <vector>

namespace lockstep::report {

// columns: curves over the same places, NaN where one has no value. Returns places in ascending
// order: of equal ranges of them the least and the greatest of each curve, and both ends.
std::vector<std::size_t> kept_places(const std::vector<std::vector<double>>& columns,
                                     std::size_t places, std::size_t most);

}  // namespace lockstep::report
