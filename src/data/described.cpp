#include "described.h"

#include <fnmatch.h>

#include <algorithm>
#include <map>

#include "dataset_header.h"
#include "lockstep/core/error.h"
#include "sources.h"

namespace lockstep::data {
namespace {

// One dataset of a field in a file.
struct Match {
  std::string names;  // what the stars stand for
  Located at;
  std::int64_t samples = 1;
};

bool is_group(const Located& at) {
  const Hdf5Lock lock;
  const Handle group(H5Gopen2(at.file->id(), at.path.c_str(), H5P_DEFAULT), H5Gclose);
  if (!group) hdf5_reason();
  return static_cast<bool>(group);
}

// What a path with stars stands for, in order of names.
void find_matches(const Located& group, const std::string& pattern, const std::string& names,
                  const Reach& reach, std::vector<Match>& out) {
  const std::size_t star = pattern.find('*');
  if (star == std::string::npos) {
    const std::string path = group.path == "/" ? pattern : group.path + pattern;
    if (auto at = locate(group.file, path, reach)) out.push_back({names, std::move(*at), 1});
    return;
  }
  const std::size_t begin = pattern.rfind('/', star),
                    end = std::min(pattern.find('/', star), pattern.size());
  const std::string before = pattern.substr(0, begin), rest = pattern.substr(end);
  const std::string component = pattern.substr(begin + 1, end - begin - 1);
  const std::string parent = group.path == "/" ? before : group.path + before;
  const auto found = locate(group.file, parent.empty() ? "/" : parent, reach);
  if (!found || !is_group(*found)) return;
  for (const std::string& name : names_in(*found)) {
    if (::fnmatch(component.c_str(), name.c_str(), 0) != 0) continue;
    const std::string path = (found->path == "/" ? "" : found->path) + "/" + name;
    const std::string key = names.empty() ? name : names + "/" + name;
    if (rest.empty()) {
      find_matches({found->file, "/"}, path, key, reach, out);
    } else if (const auto inner = locate(found->file, path, reach); inner && is_group(*inner)) {
      find_matches(*inner, rest, key, reach, out);
    }
  }
}

DatasetHeader header_of(const Located& at) {
  const Hdf5Lock lock;
  const std::string where = at.file->path().string();
  const Handle dataset = open_located(*at.file, at.path);
  if (!dataset)
    throw UserError("{}: {} is no dataset ({}); name one in [[data.fields]]", where, at.path,
                    hdf5_reason());
  return read_header(dataset.get(), where, at.path);
}

std::string form(const Field& field) {
  return fmt::format("{} {}", name_of(field.dtype), field.sample.text());
}

// What stands where a path ends in nothing, for the sentence about it.
std::string known_names(const std::shared_ptr<const InputFile>& file, std::string path,
                        const Reach& reach) {
  for (;;) {
    path = path.substr(0, path.rfind('/'));
    if (path.find('*') != std::string::npos) continue;
    const auto group = locate(file, path.empty() ? "/" : path, reach);
    if (group && is_group(*group)) {
      std::vector<std::string> names = names_in(*group);
      constexpr std::size_t kMost = 12;
      const bool more = names.size() > kMost;
      if (more) names.resize(kMost);
      return fmt::format("{} has {}{}", path.empty() ? "/" : path, fmt::join(names, ", "),
                         more ? ", ..." : "");
    }
    if (path.empty()) return "it has nothing";
  }
}

// The fields of a split while its files are looked at one after another.
class Gathering {
 public:
  Gathering(const std::vector<FieldDescription>& described, const std::string& group,
            const Reach& reach, FileTable& table)
      : reach_(reach), table_(table) {
    for (const FieldDescription& d : described) {
      Field field;
      field.name = d.name;
      field.path = with_group(d.path, group);
      field.layout = d.layout;
      field.block = d.block;
      field.role = d.role;
      field.unit = d.unit;
      field.transform = d.transform;
      fields_.push_back(std::move(field));
    }
    needs_files_ = std::any_of(fields_.begin(), fields_.end(), [](const Field& f) {
      return f.layout != Layout::kSample || f.path.find('*') != std::string::npos;
    });
  }

  void add(std::int32_t number) {
    if (!first_.empty() && !needs_files_) {
      for (Field& field : fields_) field.pieces.push_back({number, field.path, 0, 1});
      return;
    }
    const auto file = open_input(table_.at(number));
    std::vector<std::vector<Match>> found;
    for (Field& field : fields_) found.push_back(look(file, field));
    agree(file->path().string(), found);
    for (std::size_t i = 0; i < fields_.size(); ++i)
      for (const Match& match : found[i])
        fields_[i].pieces.push_back(
            {table_.number(match.at.file->path()), match.at.path, 0, match.samples});
    if (first_.empty()) first_ = file->path().string();
  }

  std::vector<Field> take() {
    for (Field& field : fields_) {
      drop_empty_pieces(field);
      if (field.layout == Layout::kSample && field.pieces.size() > 1) field.checksummed = false;
    }
    return std::move(fields_);
  }

 private:
  static std::string with_group(std::string path, const std::string& group) {
    constexpr std::string_view kPlace = "{split}";
    for (std::size_t at = path.find(kPlace); at != std::string::npos; at = path.find(kPlace, at)) {
      path.replace(at, kPlace.size(), group);
      at += group.size();
    }
    return path.starts_with('/') ? path : "/" + path;
  }

  // A field's datasets in a file, which are like those of the files before.
  std::vector<Match> look(const std::shared_ptr<const InputFile>& file, Field& field) {
    std::vector<Match> found;
    find_matches({file, "/"}, field.path, "", reach_, found);
    if (found.empty()) {
      const std::string sentence =
          fmt::format("{}: there is no dataset {} for the field {}; {}", file->path().string(),
                      field.path, field.name, known_names(file, field.path, reach_));
      if (first_.empty()) throw UserError("{}", sentence);
      throw DataError("{}, while {} has one", sentence, first_);
    }
    for (Match& match : found) {
      const bool is_known = !shape_of_[field.name].empty();
      if (is_known && field.layout == Layout::kSample && &match != found.data()) break;
      const std::string where = match.at.file->path().string();
      check_sources(match.at, reach_);
      Field told = like(field);
      apply_header(header_of(match.at), where, match.at.path, told);
      std::string& known = shape_of_[field.name];
      if (!is_known) {
        field.dtype = told.dtype, field.sample = told.sample, field.chunk = told.chunk;
        field.unit = told.unit, field.checksummed = told.checksummed;
        known = fmt::format("{} has {}", where, match.at.path);
      } else if (told.dtype != field.dtype || told.sample != field.sample) {
        throw DataError(
            "{}: dataset {} has samples of {}, while {} with samples of {}; the datasets of the "
            "field {} must be alike",
            where, match.at.path, form(told), known, form(field), field.name);
      }
      match.samples = told.count;
      if (!told.checksummed) field.checksummed = false;
    }
    return found;
  }

  static std::int64_t samples_of(const std::vector<Match>& matches) {
    std::int64_t samples = 0;
    for (const Match& match : matches) samples += match.samples;
    return samples;
  }

  // The fields of a file have the same samples, or are made to: one of layout kSample stands for
  // all that the others have in its place.
  void agree(const std::string& file, std::vector<std::vector<Match>>& found) const {
    const std::size_t most = leader(found);
    const std::int64_t samples = samples_of(found[most]);
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      check_names(file, found, most, i);
      if (samples_of(found[i]) == samples) continue;
      const bool repeats = fields_[i].layout == Layout::kSample;
      if (repeats && found[i].size() == 1) {
        found[i].front().samples = samples;
      } else if (repeats && found[i].size() == found[most].size()) {
        for (std::size_t m = 0; m < found[i].size(); ++m)
          found[i][m].samples = found[most][m].samples;
      } else {
        throw DataError(
            "{}: the field {} has {} samples ({}), but {} has {} ({}); the fields of a split need "
            "the same number",
            file, fields_[i].name, samples_of(found[i]), fields_[i].path, fields_[most].name,
            samples, fields_[most].path);
      }
    }
  }

  // The field that says how many samples a file has: the first that is not one sample a dataset,
  // else the one with most of them.
  std::size_t leader(const std::vector<std::vector<Match>>& found) const {
    std::size_t most = 0;
    for (std::size_t i = 0; i < fields_.size(); ++i) {
      if (fields_[i].layout != Layout::kSample) return i;
      if (found[i].size() > found[most].size()) most = i;
    }
    return most;
  }

  // Two fields under the same stars have their samples in the same groups.
  void check_names(const std::string& file, const std::vector<std::vector<Match>>& found,
                   std::size_t a, std::size_t b) const {
    const auto stars = [](const std::string& path) {
      return path.substr(0, path.rfind('*') + 1);  // "" without any
    };
    if (a == b || stars(fields_[a].path).empty() ||
        stars(fields_[a].path) != stars(fields_[b].path))
      return;
    const auto& one = found[a];
    const auto& other = found[b];
    for (std::size_t i = 0; i < std::max(one.size(), other.size()); ++i) {
      if (i < one.size() && i < other.size() && one[i].names == other[i].names) continue;
      const bool first = i >= other.size() || (i < one.size() && one[i].names < other[i].names);
      throw DataError("{}: {} has {} for the field {}, and nothing for the field {}", file,
                      first ? one[i].names : other[i].names,
                      first ? one[i].at.path : other[i].at.path, fields_[first ? a : b].name,
                      fields_[first ? b : a].name);
    }
  }

  const Reach& reach_;
  FileTable& table_;
  std::vector<Field> fields_;
  bool needs_files_ = true;
  std::string first_;                            // file; "" before it
  std::map<std::string, std::string> shape_of_;  // field: where its shape was learnt
};

}  // namespace

void drop_empty_pieces(Field& field) {
  const Piece first = field.pieces.front();
  std::erase_if(field.pieces, [](const Piece& piece) { return piece.samples == 0; });
  if (field.pieces.empty()) field.pieces.push_back(first);
  field.count = 0;
  for (const Piece& piece : field.pieces) field.count += piece.samples;
}

std::int32_t FileTable::number(const std::filesystem::path& file) {
  const auto [known, added] =
      numbers_.try_emplace(file.string(), static_cast<std::int32_t>(files_.size()));
  if (added) files_.push_back(file);
  return known->second;
}

std::vector<Field> gather_fields(const std::vector<FieldDescription>& described,
                                 const std::vector<std::int32_t>& files, const std::string& group,
                                 const Reach& reach, FileTable& table) {
  Gathering gathering(described, group, reach, table);
  for (const std::int32_t file : files) gathering.add(file);
  return gathering.take();
}

}  // namespace lockstep::data
