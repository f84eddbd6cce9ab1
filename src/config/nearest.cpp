#include "lockstep/config/nearest.h"

#include <algorithm>

namespace lockstep::config {

int edit_distance(std::string_view a, std::string_view b) {
  const std::size_t width = b.size() + 1;
  std::vector<int> d((a.size() + 1) * width);
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      int& cell = d[i * width + j];
      if (i == 0 || j == 0) {
        cell = static_cast<int>(i + j);
        continue;
      }
      const int same = a[i - 1] == b[j - 1] ? 0 : 1;
      cell = std::min({d[(i - 1) * width + j] + 1, d[i * width + j - 1] + 1,
                       d[(i - 1) * width + j - 1] + same});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cell = std::min(cell, d[(i - 2) * width + j - 2] + 1);
      }
    }
  }
  return d.back();
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  // A third of the letters may differ, and two in any word of four or more.
  int best = 1 + std::max(static_cast<int>(word.size()) / 3, word.size() >= 4 ? 2 : 1);
  std::string found;
  for (const std::string& candidate : candidates) {
    // A word that was cut short is one mistake, however many letters it lacks.
    const bool cut_short = word.size() >= 3 && candidate.starts_with(word);
    const int distance = std::min(edit_distance(word, candidate), cut_short ? 1 : best);
    if (distance < best) {
      best = distance;
      found = candidate;
    }
  }
  return found;
}

}  // namespace lockstep::config
