// What a benchmark found: rows of named figures with units, as text for people, CSV and JSON for
// programs.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/bench/measure.h"

namespace lockstep::bench {

struct Figure {
  std::string name, unit;  // "bus bandwidth", "B/s"; unit "": a plain number, "part": of 1
  double value = 0;
};

struct Row {
  std::string group, name;  // "gemm", "1024 x 1024 x 1024 fp32"
  Timing time;
  std::string verified;   // "ok", or what was wrong; "-": there is nothing to compare with
  double of_ceiling = 0;  // 0 to 1, of what this machine was measured to give; 0: not known
  std::vector<Figure> figures;
};

struct Results {
  std::string title;
  std::vector<std::pair<std::string, std::string>> facts;  // host, ranks, device, version, ...
  std::vector<Row> rows;
  std::vector<std::string> notes;  // formulas, what a column means

  bool all_verified() const;
  std::string text() const;
  std::string csv() const;   // RFC 4180, a line of heads; empty: not known
  std::string json() const;  // what is not finite is null
};

}  // namespace lockstep::bench
