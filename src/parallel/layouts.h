// What a strategy asks of comm for a program: how gradients are summed, and where parameters lie.
// Functions of the model and the options alone, so that memory can be planned before it is taken.
#pragma once
#include "lockstep/comm/fold.h"
#include "lockstep/comm/shared_flat.h"
#include "lockstep/parallel/strategy.h"
#include "parallel/gradient_sink.h"

namespace lockstep::parallel {

comm::Dealing dealing_of(Assignment assignment);
comm::FoldLayout fold_layout(const ParameterTable& table, const BucketTable& buckets,
                             const Options& options, bool on_host);
// Of the sharded strategy.
comm::FlatLayout flat_layout(const nn::Program& program, const BucketTable& buckets,
                             const Options& options);

}  // namespace lockstep::parallel
