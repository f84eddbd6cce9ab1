// How the tables of sections are written: one key a statement. For the files that declare them.
#pragma once
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "config/declaration.h"
#include "lockstep/data/description.h"
#include "lockstep/train/run.h"

namespace lockstep::config {

// Where an option lives in the run: a generic lambda serves reading and writing.
#define AT(member) \
  [](auto& run) -> auto& { return run.member; }

using train::Run;
using Table = std::vector<Option<Run>>;

template <class At>
Option<Run> key(std::string name, At at, std::string help) {
  return option<Run>(std::move(name), at, std::move(help));
}

template <class Enum>
Words<Enum> named(std::initializer_list<Enum> values) {
  Words<Enum> words;
  for (const Enum value : values) words.emplace_back(std::string(name_of(value)), value);
  return words;
}

// options_data.cpp
Table data_table();
// options_parallel.cpp
Table parallel_table();
Table assignment_table();
Table precision_table();
// transform_keys.cpp
Words<data::Normalise> normalise_words();
void add_transform_keys(std::vector<Option<data::FieldDescription>>& field);
// options_policy.cpp
void add_policy_keys(Table& train);
Option<Run> check_replicas_key();

}  // namespace lockstep::config
