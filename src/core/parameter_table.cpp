#include "lockstep/core/parameter_table.h"

#include <algorithm>
#include <cmath>

#include "lockstep/core/error.h"
#include "lockstep/core/philox.h"

namespace lockstep {

int ParameterTable::add(std::string name, Shape shape, ParameterKind kind, Init init,
                        double init_scale) {
  if (find(name) >= 0) throw UserError("two parameters are named '{}'; give layers distinct names", name);
  Parameter p{std::move(name), shape, kind, init, init_scale, flat_elements_, shape.elements()};
  for (std::int64_t at = 0; at < p.elements; at += kBlock) {
    blocks_.push_back({size(), p.offset + at, std::min(kBlock, p.elements - at)});
  }
  flat_elements_ += (p.elements + kGranule - 1) / kGranule * kGranule;
  first_block_.push_back(static_cast<int>(blocks_.size()));
  parameters_.push_back(std::move(p));
  return size() - 1;
}

int ParameterTable::find(const std::string& name) const {
  for (int i = 0; i < size(); ++i) {
    if (parameters_[i].name == name) return i;
  }
  return -1;
}

std::int64_t ParameterTable::elements() const {
  std::int64_t total = 0;
  for (const Parameter& p : parameters_) {
    if (p.kind != ParameterKind::kStatistic) total += p.elements;
  }
  return total;
}

void ParameterTable::initialise(std::uint64_t seed, float* flat) const {
  std::fill(flat, flat + flat_elements_, 0.0f);
  for (int b = 0; b < static_cast<int>(blocks_.size()); ++b) initialise(seed, b, flat);
}

void ParameterTable::initialise(std::uint64_t seed, int block, float* flat) const {
  const Block& at = blocks_[block];
  const Parameter& p = parameters_[at.parameter];
  const NamedStream stream(seed, p.name);
  const std::int64_t before = at.begin - p.offset;
  float* const out = flat + at.begin;
  for (std::int64_t i = 0; i < at.elements; ++i) {
    switch (p.init) {
      case Init::kZeros: out[i] = 0; break;
      case Init::kOnes: out[i] = 1; break;
      case Init::kUniform:
        out[i] = static_cast<float>((2 * stream.uniform(before + i) - 1) * p.init_scale);
        break;
      case Init::kNormal:
        out[i] = static_cast<float>(stream.normal(before + i) * p.init_scale);
        break;
    }
  }
}

}  // namespace lockstep
