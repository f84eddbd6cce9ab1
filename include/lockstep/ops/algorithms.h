// Which algorithm of a vendor's library computes a problem of a given shape. Chosen once, by rank
// 0, and the same on all ranks and after a resume: another algorithm sums in another order. Knows
// no device and does not look into what it keeps.
#pragma once
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace lockstep::ops {

class Algorithms {
 public:
  // problem: one line, "cublasLt forward 64 x 32 x 128 fp32 bias". The text is opaque, one line.
  std::optional<std::string> find(std::string_view problem) const;
  // Ops record what they chose when they are made and find() had nothing. Recorded again: replaced.
  void record(std::string_view problem, std::string_view algorithm);
  void clear();

  // One line for each problem, "PROBLEM = ALGORITHM", in the order of the problems.
  std::string to_text() const;
  // Replaces everything. Throws DataError, and keeps what there was, if a line is none of
  // to_text().
  void from_text(std::string_view text);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> by_problem_;
};

// Of this process: where all ops look and record.
Algorithms& algorithms();

}  // namespace lockstep::ops
