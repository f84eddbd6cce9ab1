// A Manifest as text and back, for its broadcast; and what the file's own manifest adds to it.
#pragma once
#include <string>

#include "lockstep/data/dataset.h"

namespace lockstep::data {

inline constexpr const char* kManifestAttribute = "lockstep_manifest";
inline constexpr const char* kTokenizerDataset = "lockstep_tokenizer";  // in the root; no field
inline constexpr int kManifestFormat = 2;  // 1, of files without hashes and id, is read too

std::string to_text(const Manifest& manifest);
Manifest manifest_from_text(const std::string& text);

// Roles, figures, classes, hashes and id from manifest.text to the fields; of a version that shares
// the chunks of others, its pieces in their files. Throws DataError if it is no manifest of a
// format that this program knows, UserError for a file out of reach (Follow).
void apply_own_manifest(Manifest& manifest);

// To fields without a reference: the figures of the train split, or of the first.
void give_reference(Manifest& manifest);

}  // namespace lockstep::data
