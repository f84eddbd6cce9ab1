#include "fuzz/reading.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <sstream>

#include "data/row_source.h"
#include "lockstep/core/error.h"
#include "lockstep/core/log.h"
#include "lockstep/data/probe.h"
#include "lockstep/data/versions.h"

namespace lockstep::fuzz {
namespace {

data::Description description_of(const fs::path& file) {
  data::Description description;
  description.path = {file.string()};
  description.probe = 0;  // walk() is the walk
  return description;
}

// Whether the program tells that the field's values are covered.
bool is_covered(const data::Field& field) { return !field.hash.empty() || field.checksummed; }

// A chunk of zeros under a sum of zero is a good one.
bool only_zeros_differ(const std::string& values, const std::string& expected) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] != expected[i] && values[i] != 0) return false;
  return true;
}

bool moves_chunks(Kind kind) {
  return kind == Kind::kSwap || kind == Kind::kMove || kind == Kind::kExchange;
}

// Damage after a reader has opened the file, in place: the same inode.
void damage_in_place(const fs::path& file, const Case& c) {
  if (c.kind == Kind::kVanishWhileRead) {
    fs::remove(file);
    return;
  }
  const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  const auto size = static_cast<off_t>(c.bytes.size());
  const bool done = ::ftruncate(fd, size) == 0 &&
                    ::pwrite(fd, c.bytes.data(), c.bytes.size(), 0) == static_cast<ssize_t>(size);
  ::close(fd);
  if (!done) std::cerr << "cannot damage " << file << '\n';
}

}  // namespace

Reading::Reading(const std::vector<Base>& bases, fs::path work)
    : bases_(bases), work_(std::move(work)), communicator_(comm::make_self_communicator()) {
  fs::create_directories(work_);
}

void Reading::write(const BaseFile& file, const std::string& bytes) const {
  const fs::path path = work_ / file.name;
  fs::remove(path);
  std::ofstream(path, std::ios::binary) << bytes;
  fs::last_write_time(path, file.changed);  // silent damage changes no time
}

fs::path Reading::prepare(const Case& c) {
  const Base& base = bases_[c.base];
  good(c.base);
  for (std::size_t i = 0; i < base.files.size(); ++i) {
    const bool damaged = i == c.file && !c.while_reading();
    write(base.files[i], damaged ? c.bytes : base.files[i].bytes);
  }
  return work_ / base.files.front().name;
}

void Reading::walk(const fs::path& file) const {
  std::vector<std::string> names{file.string()};
  if (const fs::path beside = data::sidecar_of(file); fs::exists(beside)) names.push_back(beside);
  data::walk_metadata(names, data::Follow::kFolder);
}

const Reading::Good& Reading::good(std::size_t base) {
  if (const auto known = good_.find(base); known != good_.end()) return known->second;
  for (const BaseFile& file : bases_[base].files) write(file, file.bytes);
  Good good;
  good.manifest =
      data::read_manifest(*communicator_, description_of(work_ / bases_[base].files.front().name));
  for (const data::Split& split : good.manifest.splits)
    for (const data::Field& field : split.fields)
      good.values[split.name + "/" + field.name] = values_of(good.manifest, split, field, nullptr);
  return good_.emplace(base, std::move(good)).first->second;
}

// In blocks, some of which cut units; a file that changes while it is read does so in the middle.
std::string Reading::values_of(const data::Manifest& manifest, const data::Split& split,
                               const data::Field& field, const Case* c) {
  constexpr std::int64_t kRows = 16;
  const auto rows = data::open_rows(manifest, split, field);
  std::string values;
  data::KeptUnit kept;
  bool changed = false;
  for (std::int64_t first = 0; first < field.count; first += kRows) {
    const std::int64_t count = std::min(kRows, field.count - first);
    const std::size_t before = values.size();
    values.resize(before + static_cast<std::size_t>(count) * field.sample_bytes());
    rows->read(first, count, reinterpret_cast<std::byte*>(values.data() + before), kept);
    if (c != nullptr && c->while_reading() && !changed && first >= field.count / 2) {
      damage_in_place(work_ / bases_[c->base].files[c->file].name, *c);
      changed = true;
    }
  }
  return values;
}

Verdict Reading::compare(const Case& c, const Good& good, const fs::path& file) {
  const data::Manifest manifest = data::read_manifest(*communicator_, description_of(file));
  bool same_structure = manifest.splits.size() == good.manifest.splits.size();
  bool same_values = true, zeros = false, moved = false;
  std::string wrong;
  const bool other_dataset = c.kind == Kind::kExchange && manifest.id != good.manifest.id;
  for (const data::Split& expected : good.manifest.splits) {
    const data::Split* split = manifest.find(expected.name);
    for (const data::Field& was : expected.fields) {
      const data::Field* field = split != nullptr ? split->find(was.name) : nullptr;
      const bool same = field != nullptr && field->count == was.count &&
                        field->dtype == was.dtype && field->sample == was.sample;
      same_structure = same_structure && same;
      if (!same) continue;
      const std::string name = expected.name + "/" + was.name;
      const std::string values = values_of(manifest, *split, *field, &c);
      const std::string& expected_values = good.values.at(name);
      if (values == expected_values) continue;
      same_values = false;
      if (!is_covered(*field)) continue;
      if (field->hash.empty() && only_zeros_differ(values, expected_values))
        zeros = true;
      else if (moves_chunks(c.kind) && (field->hash.empty() || other_dataset))
        moved = true;
      else
        wrong += (wrong.empty() ? "" : ", ") + name;
    }
  }
  if (!wrong.empty()) return {"FAILED", "wrong values in silence: " + wrong};
  if (!same_structure && !manifest.id.empty() && manifest.id == good.manifest.id)
    return {"FAILED", "another structure under the same id"};
  if (!same_structure) return {"other_structure", ""};
  if (zeros || moved) return {zeros ? "zeros" : "whole_chunks", ""};
  return {same_values ? "same" : "unchecked", ""};
}

Verdict Reading::read(const Case& c, const fs::path& file) {
  try {
    const Verdict verdict = compare(c, good(c.base), file);
    if (c.kind == Kind::kNone && verdict.outcome != "same")
      return {"FAILED", "the undamaged file is not what it was: " + verdict.outcome};
    return verdict;
  } catch (const Error& error) {
    const std::string text = error.what();
    if (c.kind == Kind::kNone) return {"FAILED", "the undamaged file is refused: " + text};
    if (error.code() != ExitCode::kData && error.code() != ExitCode::kUser) return {"FAILED", text};
    if (text.find(work_.string()) == std::string::npos)
      return {"FAILED", "the file is not named: " + text};
    return {"refused", text};
  } catch (const std::exception& error) {
    return {"FAILED", error.what()};
  }
}

}  // namespace lockstep::fuzz
