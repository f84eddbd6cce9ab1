// The flat buffer's table: where each parameter lies, and the blocks that every pass runs over.
// Offsets, padding and blocks are functions of the model alone, never of ranks (NUMERICS.md 8, 9).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/core/shape.h"

namespace lockstep {

inline constexpr std::int64_t kGranule = 64;    // elements; every parameter starts on one
inline constexpr std::int64_t kBlock = 4096;    // elements, counted from the parameter's own start

enum class Init : std::uint8_t { kZeros, kOnes, kUniform, kNormal };

enum class ParameterKind : std::uint8_t {
  kWeight,     // updated by the optimizer, decayed
  kNoDecay,    // updated by the optimizer, spared from decay: biases and norm gains
  kStatistic,  // running statistics: folded over lanes like a gradient, never optimised, normed or
               // clipped (NUMERICS.md 7)
};

struct Parameter {
  std::string name;
  Shape shape;
  ParameterKind kind = ParameterKind::kWeight;
  Init init = Init::kZeros;
  double init_scale = 0;  // kUniform: half width; kNormal: deviation
  std::int64_t offset = 0;  // elements from the start of the flat buffer
  std::int64_t elements = 0;
};

struct Block {
  std::int32_t parameter;  // index in the table
  std::int64_t begin;      // element offset in the flat buffer
  std::int64_t elements;   // 1..kBlock
};

class ParameterTable {
 public:
  // Appends a parameter and returns its index. Throws UserError on a name used twice.
  int add(std::string name, Shape shape, ParameterKind kind, Init init, double init_scale = 0);

  const std::vector<Parameter>& parameters() const { return parameters_; }
  const Parameter& operator[](int i) const { return parameters_[i]; }
  int size() const { return static_cast<int>(parameters_.size()); }
  int find(const std::string& name) const;  // -1 if absent

  std::int64_t flat_elements() const { return flat_elements_; }  // padding included
  std::int64_t elements() const;                    // of kWeight and kNoDecay, no padding
  const std::vector<Block>& blocks() const { return blocks_; }
  int first_block(int parameter) const { return first_block_[parameter]; }
  int end_block(int parameter) const { return first_block_[parameter + 1]; }

  // Writes the first values of all parameters into flat[flat_elements()]; padding is zero.
  void initialise(std::uint64_t seed, float* flat) const;
  // Those of one block alone.
  void initialise(std::uint64_t seed, int block, float* flat) const;

 private:
  std::vector<Parameter> parameters_;
  std::vector<Block> blocks_;
  std::vector<int> first_block_{0};
  std::int64_t flat_elements_ = 0;
};

}  // namespace lockstep
