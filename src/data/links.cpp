#include "links.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 32;

// The first link on a path that is not a hard one.
struct Turn {
  enum class Kind { kNone, kAbsent, kSoft, kExternal } kind = Kind::kNone;
  std::string at;            // "/train/x"
  std::string file, target;  // what it says
  std::string rest;          // of the path behind it, "/y" or ""
};

std::string link_value(hid_t file, const std::string& at, const H5L_info_t& info,
                       const std::string& where) {
  std::string value(info.u.val_size, '\0');
  if (H5Lget_val(file, at.c_str(), value.data(), value.size(), H5P_DEFAULT) < 0)
    throw DataError("{}: cannot read the link {} ({})", where, at, hdf5_reason());
  return value;
}

Turn first_turn(const InputFile& file, const std::string& path) {
  const Hdf5Lock lock;
  const std::string where = file.path().string();
  for (std::size_t begin = path.find_first_not_of('/'); begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    Turn turn{Turn::Kind::kAbsent, path.substr(0, end), "", "", path.substr(end)};
    begin = path.find_first_not_of('/', end);
    H5L_info_t info;
    if (H5Lget_info(file.id(), turn.at.c_str(), &info, H5P_DEFAULT) < 0) {
      hdf5_reason();
      return turn;
    }
    if (info.type == H5L_TYPE_HARD) continue;
    if (info.type != H5L_TYPE_SOFT && info.type != H5L_TYPE_EXTERNAL)
      throw DataError("{}: {} is a link that only the program that made it can follow", where,
                      turn.at);
    const std::string value = link_value(file.id(), turn.at, info, where);
    if (info.type == H5L_TYPE_SOFT) {
      turn.kind = Turn::Kind::kSoft;
      turn.target = value.c_str();
      return turn;
    }
    const char *name = nullptr, *object = nullptr;
    if (H5Lunpack_elink_val(value.data(), value.size(), nullptr, &name, &object) < 0)
      throw DataError("{}: cannot read the link {} ({})", where, turn.at, hdf5_reason());
    turn.kind = Turn::Kind::kExternal;
    turn.file = name;
    turn.target = object;
    return turn;
  }
  return {};
}

herr_t follow_nothing(const char*, const char*, const char*, const char*, unsigned*, hid_t, void*) {
  return -1;
}

}  // namespace

fs::path folder_of(const InputFile& file) {
  const fs::path folder = file.path().parent_path();
  return folder.empty() ? "." : folder;
}

fs::path seen_from(const InputFile& file, const std::string& name) {
  const fs::path path = name;
  return path.is_absolute() ? path : folder_of(file) / path;
}

Reach::Reach(Follow follow, const std::vector<fs::path>& named) : follow_(follow) {
  if (follow != Follow::kFolder) return;
  std::set<fs::path> parents;
  for (const fs::path& file : named) parents.insert(file.parent_path());
  std::error_code ignored;
  for (const fs::path& parent : parents)
    folders_.insert(fs::weakly_canonical(parent.empty() ? "." : parent, ignored));
}

void Reach::check(const fs::path& target, const std::string& from) const {
  if (follow_ == Follow::kAny) return;
  std::error_code error;
  const fs::path real = fs::weakly_canonical(target, error);
  for (fs::path folder = real.parent_path(); follow_ == Follow::kFolder && !error;
       folder = folder.parent_path()) {
    if (folders_.contains(folder)) return;
    if (folder == folder.parent_path()) break;
  }
  if (follow_ == Follow::kNone)
    throw UserError(
        "{} leads to another file, {}, and data.follow = \"none\" allows no other files; set "
        "data.follow to \"folder\" or \"any\" if you trust it",
        from, target.string());
  throw UserError(
      "{} leads to {}, outside of the folders of the files that data.path names; set data.follow = "
      "\"any\" if you trust it",
      from, target.string());
}

std::shared_ptr<const InputFile> open_input(const fs::path& path, InputFile::Hdf5 open) {
  struct Known {
    dev_t device;
    ino_t number;
    std::weak_ptr<const InputFile> file;
  };
  static std::mutex mutex;  // of what follows; never held while a file is opened or closed
  static std::map<fs::path, Known> all;
  struct stat now {};
  const bool there = ::stat(path.c_str(), &now) == 0;
  if (there) {
    const std::scoped_lock lock(mutex);
    const auto known = all.find(path);
    if (known != all.end() && known->second.device == now.st_dev &&
        known->second.number == now.st_ino)
      if (auto file = known->second.file.lock()) return file;
  }
  auto file = std::make_shared<const InputFile>(path, open);
  const std::scoped_lock lock(mutex);
  std::erase_if(all, [](const auto& known) { return known.second.file.expired(); });
  all[path] = {now.st_dev, now.st_ino, file};
  return file;
}

std::optional<Located> locate(std::shared_ptr<const InputFile> file, const std::string& path,
                              const Reach& reach) {
  Located at{std::move(file), path.starts_with('/') ? path : "/" + path};
  for (int links = 0; links < kMostLinks; ++links) {
    const Turn turn = first_turn(*at.file, at.path);
    const std::string from = fmt::format("{}: link {}", at.file->path().string(), turn.at);
    switch (turn.kind) {
      case Turn::Kind::kNone:
        return at;
      case Turn::Kind::kAbsent:
        return std::nullopt;
      case Turn::Kind::kSoft: {
        const std::string group = turn.at.substr(0, turn.at.rfind('/') + 1);
        at.path = (turn.target.starts_with('/') ? "" : group) + turn.target + turn.rest;
        break;
      }
      case Turn::Kind::kExternal: {
        const fs::path target = seen_from(*at.file, turn.file);
        reach.check(target, from);
        std::error_code ignored;
        if (!fs::exists(target, ignored))
          throw DataError("{} leads to {}, which is not there", from, target.string());
        at.file = open_input(target);
        at.path = (turn.target.starts_with('/') ? "" : "/") + turn.target + turn.rest;
        break;
      }
    }
  }
  throw DataError("{}: {} leads through more than {} links; do they form a circle?",
                  at.file->path().string(), path, kMostLinks);
}

std::vector<std::string> names_in(const Located& group) {
  std::vector<std::string> names;
  const auto add = [](hid_t, const char* name, const H5L_info_t*, void* list) -> herr_t {
    static_cast<std::vector<std::string>*>(list)->emplace_back(name);
    return 0;
  };
  const Hdf5Lock lock;
  const Handle open(H5Gopen2(group.file->id(), group.path.c_str(), H5P_DEFAULT), H5Gclose);
  hsize_t start = 0;
  if (!open || H5Literate(open.get(), H5_INDEX_NAME, H5_ITER_INC, &start, add, &names) < 0)
    throw DataError("{}: cannot list its groups ({})", group.file->path().string(), hdf5_reason());
  std::sort(names.begin(), names.end());
  return names;
}

Handle open_located(const InputFile& file, const std::string& path) {
  const Handle access(H5Pcreate(H5P_DATASET_ACCESS), H5Pclose);
  H5Pset_elink_cb(access.get(), follow_nothing, nullptr);
  const std::string folder = folder_of(file).string();
  H5Pset_efile_prefix(access.get(), folder.c_str());
  H5Pset_virtual_prefix(access.get(), folder.c_str());
  return {H5Dopen2(file.id(), path.c_str(), access.get()), H5Dclose};
}

}  // namespace lockstep::data
