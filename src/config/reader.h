// TOML text to values and where they stand. With machine.cpp the only file that knows the
// TOML parser.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "config/declaration.h"

namespace lockstep::config {

// What was written for one key, before it is known whether the key exists.
class Written {
 public:
  virtual ~Written() = default;
  // As the declared type; throws UserError (without the place) when it is something else.
  virtual Value as(const Declaration& declaration, const std::string& key) const = 0;
};

struct Entry {
  std::string section, key, where;  // where: "run.toml:3", or "--set train.batch=7"
  std::shared_ptr<const Written> written;
};
struct TableEntry {
  std::string where;
  std::vector<Entry> keys;
};
struct Document {
  std::vector<Entry> entries;                            // in the order of the file
  std::map<std::string, std::vector<TableEntry>> lists;  // by name: "model.layers"
};

// Throws UserError (file, line) for what is not TOML, is in no section, or nests deeper than
// section.key.
Document read_document(const std::string& toml, const std::string& name);
// "section.key=value"; the value is TOML, or bare text or a bare list where the type wants one.
Entry read_override(const std::string& argument);

}  // namespace lockstep::config
