// Reads a case's file as training does, and compares it with the good one.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "fuzz/damage.h"
#include "lockstep/comm/communicator.h"
#include "lockstep/data/dataset.h"

namespace lockstep::fuzz {

struct Verdict {
  // "same": the very values; "refused": an error that names the file; "FAILED"; and other values or
  // another structure, in a file without hashes: "unchecked", the program says that nothing covers
  // them; "other_structure"; "zeros", for the checksum of zeros is zero; "whole_chunks" that are
  // good, of another place or file.
  std::string outcome, text;
};

class Reading {
 public:
  Reading(const std::vector<Base>& bases, fs::path work);
  fs::path prepare(const Case& c);  // writes the case's files; returns the one to be read
  void walk(const fs::path& file) const;
  Verdict read(const Case& c, const fs::path& file);

 private:
  struct Good {
    data::Manifest manifest;
    std::map<std::string, std::string> values;  // by "split/field"
  };
  const Good& good(std::size_t base);
  void write(const BaseFile& file, const std::string& bytes) const;
  std::string values_of(const data::Manifest& manifest, const data::Split& split,
                        const data::Field& field, const Case* c);
  Verdict compare(const Case& c, const Good& good, const fs::path& file);

  const std::vector<Base>& bases_;
  fs::path work_;
  std::unique_ptr<comm::Communicator> communicator_;
  std::map<std::size_t, Good> good_;
};

}  // namespace lockstep::fuzz
