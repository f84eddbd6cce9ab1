// Results against references in double: NaN never passes.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace lockstep::bench {

inline constexpr double kUnit = 0x1p-24;  // relative error of one fp32 operation

// The error that a sum of `length` products of numbers in [-1, 1] may have in fp32: each of so many
// additions rounds a partial sum. Four deviations of what random roundings give, and a little.
inline double sum_allowance(double length) { return kUnit * (8 + length); }

// "" or "output[17] is 3.2, not 1.1 (allowed 1e-05)": the first with !(difference <= allowed).
std::string difference(const char* what, const std::vector<float>& got,
                       const std::vector<double>& expected, double allowed);
std::string difference(const char* what, const std::vector<double>& got,
                       const std::vector<double>& expected, double allowed);
// The first that is not empty.
std::string first_of(std::initializer_list<std::string> findings);

// Random signs, +1 or -1. A product's rows times signs are compared in place of every element of
// the product (Freivalds 1977): a wrong element shows in its row, at the cost of a vector.
std::vector<double> signs(std::int64_t n);
// Of each row of a [rows, columns] matrix: the sum with these weights.
std::vector<double> times(const std::vector<float>& matrix, const std::vector<double>& weights);

}  // namespace lockstep::bench
