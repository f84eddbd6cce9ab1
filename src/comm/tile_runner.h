// Runs a tile program over the addresses of one block.
#pragma once
#include <cstring>
#include <vector>

#include "fold_plan.h"

namespace lockstep::comm {

class TileRunner {
 public:
  // scratch: program.scratch tiles of tile_floats floats.
  TileRunner(const TileProgram& program, const FoldArithmetic& arithmetic, float* scratch,
             std::int64_t tile_floats)
      : program_(program), add_(arithmetic.add), place_(program.operands()) {
    for (int i = 0; i < program.scratch; ++i) {
      place_[program.first_scratch() + i] = scratch + i * tile_floats;
    }
  }
  // Sources are only read, unless one is an out too.
  void set_source(int i, const float* at) { place_[i] = const_cast<float*>(at); }
  void set_out(int i, float* at) { place_[program_.first_out() + i] = at; }
  // Where an out lies that is not added but a source; such outs need not be set.
  const float* moved(int i) const {
    for (const auto& [into, from] : program_.moves) {
      if (into == program_.first_out() + i) return place_[from];
    }
    return nullptr;
  }

  void run(std::int64_t n) const {
    for (const auto& add : program_.adds)
      add_(place_[add.into], place_[add.left], place_[add.right], n);
    for (const auto& [into, from] : program_.moves) {
      if (place_[into] != nullptr && place_[into] != place_[from]) {
        std::memcpy(place_[into], place_[from], static_cast<std::size_t>(n) * sizeof(float));
      }
    }
  }

 private:
  const TileProgram& program_;
  void (*add_)(float*, const float*, const float*, std::int64_t);
  std::vector<float*> place_;
};

}  // namespace lockstep::comm
