// The next version of a dataset: new samples behind those of a file whose chunks it shares. Makes a
// source's samples those that the older version would have: its types, its class numbers. Knows no
// format.
#pragma once
#include <optional>

#include "source.h"

namespace lockstep::data {

// The version that options.append names; nothing if it names none. Collective. Throws UserError if
// it has no id, and so no hashes to share.
std::optional<Manifest> read_older_version(comm::Communicator& communicator,
                                           const ImportOptions& options);

// Throws UserError naming the field if names, shapes, columns or types differ, or its classes do
// not fit. Classes that are new get the next numbers.
void conform_to(const Manifest& old, Sources& sources);

// As in the older version, so that the order of an epoch permutes alike chunks.
void take_chunk_of(const Manifest& old, SplitPlan& plan);

}  // namespace lockstep::data
