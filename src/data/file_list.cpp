#include "file_list.h"

#include <glob.h>

#include <algorithm>
#include <memory>
#include <set>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

bool is_glob(const std::string& name) {
  std::error_code ignored;
  return name.find_first_of("*?[") != std::string::npos && !std::filesystem::exists(name, ignored);
}

std::vector<std::string> matches(const std::string& pattern, const std::string& key) {
  glob_t found{};
  const int error = ::glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found);
  const std::unique_ptr<glob_t, void (*)(glob_t*)> release(&found, ::globfree);
  if (error != 0 || found.gl_pathc == 0)
    throw UserError("no file matches {} = \"{}\"; put the files there, or name them otherwise", key,
                    pattern);
  std::vector<std::string> names(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  std::sort(names.begin(), names.end());  // the locale's order differs from machine to machine
  return names;
}

}  // namespace

std::vector<std::filesystem::path> expand_files(const std::vector<std::string>& names,
                                                const std::string& key) {
  std::vector<std::filesystem::path> files;
  std::set<std::string> seen;
  const auto add = [&](const std::string& file) {
    if (!seen.insert(file).second)
      throw UserError("{} names {} twice; its samples would count twice", key, file);
    files.emplace_back(file);
  };
  for (const std::string& name : names) {
    if (is_glob(name)) {
      for (const std::string& file : matches(name, key)) add(file);
    } else {
      add(name);
    }
  }
  return files;
}

}  // namespace lockstep::data
