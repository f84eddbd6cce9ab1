// What the stand-in of cuDNN can compute: a convolution read from a graph, and the engines for it.
#pragma once
#include <array>
#include <optional>

#include "tests/ptx/libraries/cudnn_descriptor.h"

namespace lockstep::stand_in {

struct ConvolutionProblem {
  struct Tensor {
    std::array<std::int64_t, 5> dimensions, strides;  // N, C, three spatial ones
    std::int64_t name, alignment;
    std::int64_t at(std::int64_t n, std::int64_t c, std::int64_t i, std::int64_t j,
                    std::int64_t k) const {
      return n * strides[0] + c * strides[1] + i * strides[2] + j * strides[3] + k * strides[4];
    }
  };
  cudnnBackendDescriptorType_t operation;
  cudnnDataType_t type;
  Tensor x, w, y;
  std::array<std::int64_t, 3> stride, padding, dilation;
};

// None if the tensors do not fit together, or are of types that no engine takes.
std::optional<ConvolutionProblem> problem_of(const Descriptor& operation);
bool shapes_fit(const Descriptor& operation);

struct Engine {
  std::int64_t index;
  std::vector<cudnnBackendNumericalNote_t> notes;
  std::vector<std::pair<cudnnBackendKnobType_t, std::int64_t>> knobs;
  std::int64_t workspace;
  bool spoils;  // breaks the contract of bits, and so gives numbers that no test lets pass
  bool backwards = false;  // sums in the opposite order: other bits
};
// Best first. Those of the heuristics' mode A; the fallback mode has the one that takes everything.
// With LOCKSTEP_EMULATION_WORST_FIRST=cudnn or 1 mode A has another that does, before all others.
std::vector<Engine> engines_for(const ConvolutionProblem& p, int capability,
                                cudnnBackendHeurMode_t mode);
std::optional<Engine> find_engine(const ConvolutionProblem& p, int capability, std::int64_t index);

// spoils: with a factor that shows.
void compute(const ConvolutionProblem& p, const Engine& engine, void* x, void* w, void* y);

}  // namespace lockstep::stand_in
