#include "serve/sampler.h"

#include <algorithm>
#include <cmath>

#include "lockstep/core/error.h"
#include "lockstep/core/philox.h"

namespace lockstep::serve {
namespace {

std::size_t most_probable(std::span<const float> logits) {
  std::size_t best = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    if (!std::isfinite(logits[i]))
      throw DataError(
          "the model's output for token {} is {}; its parameters cannot be trusted, use an earlier "
          "checkpoint",
          i, logits[i]);
    if (logits[i] > logits[best]) best = i;
  }
  return best;
}

}  // namespace

Sampler::Sampler(const Sampling& sampling) : sampling_(sampling) {
  if (!(sampling.temperature >= 0) || !std::isfinite(sampling.temperature))
    throw UserError("--temperature {} is not possible; use 0 (the most probable token) or more",
                    sampling.temperature);
  if (sampling.top_k < 0)
    throw UserError("--top-k {} is not possible; use 0 (all tokens) or more", sampling.top_k);
  if (!(sampling.top_p > 0 && sampling.top_p <= 1))
    throw UserError("--top-p {} is not possible; use a probability above 0 and up to 1",
                    sampling.top_p);
}

std::int32_t Sampler::pick(std::span<const float> logits, std::int64_t step) {
  LOCKSTEP_CHECK(!logits.empty(), "no logits");
  const std::size_t best = most_probable(logits);
  if (sampling_.temperature == 0) return static_cast<std::int32_t>(best);
  candidates_.clear();
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double below = double{logits[i]} - double{logits[best]};
    candidates_.push_back({static_cast<std::int32_t>(i), logits[i],
                           below == 0 ? 1 : std::exp(below / sampling_.temperature)});
  }
  keep_top_k();
  keep_top_p();
  std::ranges::sort(candidates_, {}, &Candidate::token);
  double total = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  const RandomKey random{sampling_.seed, static_cast<std::uint64_t>(step)};
  double left = unit_interval(random.word(0)) * total;
  for (const Candidate& c : candidates_) {
    left -= c.weight;
    if (left < 0) return c.token;
  }
  // Rounding has left a little: it belongs to the last token that can be drawn at all.
  const auto last = std::find_if(candidates_.rbegin(), candidates_.rend(),
                                 [](const Candidate& c) { return c.weight > 0; });
  return last->token;
}

bool Sampler::more_probable(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

void Sampler::keep_top_k() {
  const auto k = static_cast<std::size_t>(sampling_.top_k);
  if (k == 0 || k >= candidates_.size()) return;
  std::ranges::nth_element(candidates_, candidates_.begin() + static_cast<std::ptrdiff_t>(k),
                           more_probable);
  candidates_.resize(k);
}

void Sampler::keep_top_p() {
  if (sampling_.top_p >= 1) return;
  std::ranges::sort(candidates_, more_probable);
  double total = 0, held = 0;
  for (const Candidate& c : candidates_) total += c.weight;
  std::size_t kept = 0;
  while (kept < candidates_.size() && (kept == 0 || held < sampling_.top_p * total))
    held += candidates_[kept++].weight;
  candidates_.resize(kept);
}

}  // namespace lockstep::serve
