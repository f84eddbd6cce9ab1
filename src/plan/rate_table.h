// The rates that were measured of one kernel, and what lies between them. Knows no ops.
#pragma once
#include <string>
#include <vector>

#include "lockstep/plan/machine.h"

namespace lockstep::plan {

// Of a kernel in a precision; where that was not measured, of the nearest relation: fp32 for what
// has one arithmetic only, "linear" for "linear_input".
class RateTable {
 public:
  RateTable(const Device& device, const std::string& kernel, const std::string& precision);
  bool empty() const { return rates_.empty(); }
  // Interpolated in logarithms between the sizes around it; beyond the grid as at its edge. 0:
  // nothing is known.
  double at(const std::vector<double>& size, bool backward) const;

 private:
  bool take(const Device& device, const std::string& kernel, const std::string& precision);

  std::vector<const KernelRate*> rates_;
};

}  // namespace lockstep::plan
