// Draws the next token from a model's logits. A draw is a function of logits, options and step
// alone: the random number is Philox(seed, step).
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "lockstep/serve/generate.h"

namespace lockstep::serve {

class Sampler {
 public:
  // Throws UserError for options out of range.
  explicit Sampler(const Sampling& sampling);

  // Inverse CDF over the tokens that top-k, then top-p leave, in the order of their numbers. Among
  // equal logits the lowest number is the more probable one. Throws DataError for logits that are
  // not finite.
  std::int32_t pick(std::span<const float> logits, std::int64_t step);

 private:
  struct Candidate {
    std::int32_t token;
    float logit;
    double weight;  // proportional to the probability; 1 for the most probable token
  };
  static bool more_probable(const Candidate& a, const Candidate& b);
  void keep_top_k();
  void keep_top_p();

  const Sampling sampling_;
  std::vector<Candidate> candidates_;
};

}  // namespace lockstep::serve
