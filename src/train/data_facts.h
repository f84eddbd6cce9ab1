// What a model knows of the data that it was trained on: the statistics that its inputs were
// normalised by, its number of classes, the tokenizer of its text. Stored in checkpoints, so that
// evaluation on another file, a resumed run and generation compute with the same numbers.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/data/dataset.h"
#include "lockstep/data/tokenizer.h"
#include "train/setup.h"

namespace lockstep::train {

// By what one field's values are normalised: data::Field's reference, centre and width.
struct NormalFacts {
  bool has_statistics = false;
  double mean = 0, deviation = 1, minimum = 0, maximum = 0;
  std::vector<double> centre, width;
  bool operator==(const NormalFacts&) const = default;
};

// Which data they were: the id of this version, where it has one, and splits and shapes.
struct DataVersion {
  std::string id, structure;
};

struct DataFacts {
  bool has_statistics = false;
  double mean = 0, deviation = 1, minimum = 0, maximum = 0;  // of the input field
  std::int64_t classes = 0;  // of the target field, or the vocabulary; 0: not classes
  std::string tokenizer_kind;   // TokenizerModel, of text; empty: no text
  std::string tokenizer_model;
  std::vector<double> centre, width;  // of the input field
  NormalFacts target;                 // where the target is normalised
  bool operator==(const DataFacts&) const = default;
};

DataVersion version_of(const data::Manifest& manifest);
// "" if they are the same, as far as is known, else what differs.
std::string other_data(const DataVersion& stored, const DataVersion& now);

DataFacts facts_of(const Task& task, const data::TokenizerModel& tokenizer);
std::string facts_json(const DataFacts& facts, const DataVersion& version);
// Throws DataError naming the checkpoint if the text is not what facts_json writes.
DataFacts parse_facts(const std::string& json, const std::string& checkpoint);
// Of the same text; of a checkpoint that does not say it: empty.
DataVersion parse_version(const std::string& json);

// The tokenizer of a dataset of text, read by rank 0; of others: an empty one. Collective.
data::TokenizerModel read_tokenizer(comm::Communicator& communicator,
                                    const data::Manifest& manifest);
// Throws UserError if the text of a file was cut into other tokens than the model knows.
void check_tokenizer(const DataFacts& facts, const data::TokenizerModel& tokenizer,
                     const data::Manifest& manifest);

// Gives the facts to the run's fields in all splits, in the place of the file's own.
void impose(const DataFacts& facts, const Run& run, data::Manifest& manifest);

}  // namespace lockstep::train
