// Whether a run trains what has a closed form: one linear layer under squared error is least
// squares, a system of equations. Knows no machine but its arithmetic and its files.
#pragma once
#include <optional>
#include <string>

#include "lockstep/plan/job.h"
#include "lockstep/plan/machine.h"

namespace lockstep::plan {

// The normal equations (X'X) w = X'y of n rows and p columns (the features and a constant), solved
// by Cholesky for k targets.
struct LeastSquares {
  double rows = 0, columns = 0, targets = 0;
  double flops = 0;  // n p (p + 1) + 2 n p k + p^3 / 3 + 2 p^2 k
  double bytes = 0;  // X'X in double precision
};

// Whether the model is one linear layer. Its loss may be any.
bool is_linear(const Job& job);
LeastSquares least_squares(const Job& job);
// In double precision, at half the rate of fp32, or as long as the data take to read.
double seconds_of(const LeastSquares& system, const Job& job, const Machine& machine);
// That least squares is all that this is, or the nearest to it that is, with its numbers; empty
// where the model is not linear, or has so many features that the system is no small one. Without a
// machine no times.
std::string closed_form_text(const Job& job, const Machine* machine);
// Whether the loss itself is the one of least squares.
bool has_closed_form(const Job& job);

}  // namespace lockstep::plan
