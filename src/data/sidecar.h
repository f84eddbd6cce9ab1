// The manifest of files that are not ours, in a file of its own: figures, hashes, id, and the sizes
// and times of change of what they were found in. Knows no training.
#pragma once
#include <optional>

#include "lockstep/data/versions.h"

namespace lockstep::data {

// If the description names one file and that is a sidecar: the manifest of the files that it was
// made for. Throws DataError naming the file that is not what it was, UserError for one out of
// reach or a description that asks for more. Takes the lock.
std::optional<Manifest> read_sealed(const Description& description);

// Gives a foreign dataset's fields what the sidecar beside its first file knows of them: hashes
// where the pieces are the same, figures and classes where the samples are, the id if all are. Does
// nothing without a sidecar; warns of one that is no longer true.
void adopt_sidecar(Manifest& manifest);

}  // namespace lockstep::data
