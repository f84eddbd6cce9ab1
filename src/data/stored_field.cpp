#include "data/chunk_filters.h"
#include "data/stored_dataset.h"
#include "lockstep/data/stored.h"

namespace lockstep::data {

StoredField stored_field(const Manifest& manifest, const Field& field) {
  StoredField found{static_cast<double>(field.sample_bytes()), ""};
  if (!manifest.storage) return found;
  double stored = 0, decoded = 0;
  for (const Piece& piece : field.pieces) {
    const auto dataset = manifest.storage->find(piece.file, piece.path);
    if (!dataset || !dataset->index || dataset->index->empty()) continue;
    // Of whole chunks: the last one is stored as if it were full.
    double elements = static_cast<double>(dataset->index->size());
    for (const std::int64_t extent : dataset->form->chunk) elements *= static_cast<double>(extent);
    stored += static_cast<double>(dataset->index->stored_bytes());
    decoded += elements * static_cast<double>(size_of(dataset->form->dtype));
    if (found.filters.empty()) found.filters = filter_names(dataset->form->filters);
  }
  if (decoded > 0) found.bytes *= stored / decoded;
  return found;
}

}  // namespace lockstep::data
