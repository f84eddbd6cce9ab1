// A Manifest as text and back, for its broadcast; and what the file's own manifest adds to it.
#pragma once
#include <string>

#include "lockstep/data/dataset.h"

namespace lockstep::data {

inline constexpr const char* kManifestAttribute = "lockstep_manifest";
inline constexpr const char* kTokenizerDataset = "lockstep_tokenizer";  // in the root; no field
inline constexpr int kManifestFormat = 1;

std::string to_text(const Manifest& manifest);
Manifest manifest_from_text(const std::string& text);

// Roles, statistics and classes from manifest.text to the fields. Throws DataError if it is no
// manifest of a format that this program knows.
void apply_own_manifest(Manifest& manifest);

}  // namespace lockstep::data
