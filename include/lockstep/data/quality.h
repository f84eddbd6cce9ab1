// Is this data fit to be learnt from (inspect --quality), and is it still the data that a model was
// trained on (inspect --compare). In parallel over the ranks; the text does not depend on them.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

struct QualityOptions {
  double rare_class = 0.01;  // a class with a smaller share of the train split's samples is rare
};
// A table of what was found: missing and non-finite values, constant fields, duplicate samples
// (equal XXH3-128 of all fields' bytes), classes too rare, identical samples in two splits. A
// sample costs 32 bytes of memory, shared out to the ranks. Collective.
struct Quality {
  std::string text;
  bool good = true;  // nothing was found
};
Quality check_quality(comm::Communicator& communicator, const Manifest& manifest,
                      const QualityOptions& options);

// Drift of one field of a split: population stability index over the at most ten parts that the
// deciles of A cut (Siddiqi 2006: < 0.1 none, > 0.25 major), and the Kolmogorov-Smirnov distance,
// both from the stored histograms; both are 0 for equal histograms. Of classes: over their shares.
struct Drift {
  std::string split, field;
  double index = 0, distance = 0;
  std::string remark;  // "" or why there are no numbers; such a field counts as drifted
};
struct DriftLimits {
  double index = 0.25, distance = 0.1;
};
// Counts the histograms that the file does not tell. Collective.
void add_histograms(comm::Communicator& communicator, Manifest& manifest);
// Of the splits and fields that both have; one that only A has is a remark.
std::vector<Drift> compare(const Manifest& a, const Manifest& b);
bool within(std::span<const Drift> drifts, const DriftLimits& limits);
std::string drift_text(std::span<const Drift> drifts, const DriftLimits& limits);

}  // namespace lockstep::data
