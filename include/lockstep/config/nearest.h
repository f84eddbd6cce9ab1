// The known word that a mistyped one most likely meant.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::config {

// Insertions, deletions, substitutions and swaps of neighbours that turn a into b.
int edit_distance(std::string_view a, std::string_view b);

// Empty when no candidate is close enough to be a likely meaning.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace lockstep::config
