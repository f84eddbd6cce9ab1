// Rows as columns: which figures there are, and how a figure is read by people.
#pragma once
#include <string>
#include <vector>

#include "lockstep/bench/results.h"

namespace lockstep::bench {

struct Column {
  std::string name, unit;
  const Figure* of(const Row& row) const;  // null: the row has no such figure
};
// In the order in which they first appear.
std::vector<Column> figure_columns(const std::vector<Row>& rows);

// "12.3 GB/s", "8.00 KiB", "1.20 us", "97.1 %" (unit "part"), "3.14" (no unit): three digits.
std::string figure_text(double value, const std::string& unit);

}  // namespace lockstep::bench
