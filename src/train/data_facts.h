// What a model knows of the data that it was trained on: the statistics that its inputs were
// normalised by, and its number of classes. Stored in checkpoints, so that evaluation on another
// file and a resumed run compute with the same numbers.
#pragma once
#include <cstdint>
#include <string>

#include "lockstep/data/dataset.h"
#include "train/setup.h"

namespace lockstep::train {

struct DataFacts {
  bool has_statistics = false;
  double mean = 0, deviation = 1, minimum = 0, maximum = 0;  // of the input field
  std::int64_t classes = 0;                                  // of the target field; 0: not classes
  bool operator==(const DataFacts&) const = default;
};

DataFacts facts_of(const Task& task);
std::string facts_json(const DataFacts& facts);
// Throws DataError naming the checkpoint if the text is not what facts_json writes.
DataFacts parse_facts(const std::string& json, const std::string& checkpoint);

// Gives the facts to the run's fields in all splits, in the place of the file's own.
void impose(const DataFacts& facts, const Run& run, data::Manifest& manifest);

}  // namespace lockstep::train
