#include "optim/norms.h"

#include <cmath>

#include "lockstep/optim/optimizer.h"

namespace lockstep::optim {

double global_norm(const ParameterTable& table,
                   const std::function<double(int block)>& sum_of_squares) {
  double total = 0;
  for (int p = 0; p < table.size(); ++p) {
    if (table[p].kind == ParameterKind::kStatistic) continue;
    SiblingSum blocks;
    for (int b = table.first_block(p); b < table.end_block(p); ++b) blocks.push(sum_of_squares(b));
    total += blocks.total();
  }
  return std::sqrt(total);
}

}  // namespace lockstep::optim
