// Touches whatever HDF5 parses when a file's fields are found and opened, so that a file on which
// HDF5 crashes or hangs does so here.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <deque>
#include <iostream>
#include <iterator>
#include <set>
#include <utility>

#include "dataset_header.h"
#include "hdf5.h"
#include "links.h"
#include "lockstep/core/error.h"
#include "lockstep/data/probe.h"
#include "sources.h"
#include "stored_dataset.h"

namespace lockstep::data {
namespace {

namespace fs = std::filesystem;

constexpr rlim_t kMostMemory = rlim_t{16} << 30;  // a damaged size must not take the node's memory

struct Counts {
  std::int64_t groups = 0, datasets = 0;
};

class MetadataWalk {
 public:
  explicit MetadataWalk(Reach reach) : reach_(std::move(reach)) {}

  // The file, and those that it leads to and that may be opened.
  Counts walk(const fs::path& file) {
    counts_ = {};
    to_walk_ = {file};
    while (!to_walk_.empty()) {
      const fs::path next = std::move(to_walk_.front());
      to_walk_.pop_front();
      if (files_.insert(fs::absolute(next).lexically_normal()).second) walk_one(next);
    }
    return counts_;
  }

 private:
  void walk_one(const fs::path& path) {
    const auto file = open_input(path);
    objects_.clear();
    datasets_.clear();
    folder_ = fs::absolute(path).parent_path();
    {
      Hdf5Lock lock;
      const Handle root(H5Gopen2(file->id(), "/", H5P_DEFAULT), H5Gclose);
      if (root) walk_group(root.get(), "");
    }
    for (const std::string& dataset : datasets_) walk_dataset(file, dataset);
  }

  // What HDF5 refuses here it refuses again where it matters, and there in better words.
  template <class Body>
  static void attempt(const Body& body) {
    try {
      body();
    } catch (const Error&) {
    }
  }

  // By hard links alone: they lead to all that is in the file.
  void walk_group(hid_t group, const std::string& path) {
    ++counts_.groups;
    read_texts(group);
    std::vector<std::pair<std::string, H5L_type_t>> links;
    const auto add = [](hid_t, const char* name, const H5L_info_t* info, void* list) -> herr_t {
      static_cast<decltype(links)*>(list)->emplace_back(name, info->type);
      return 0;
    };
    hsize_t start = 0;
    H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &start, add, &links);
    for (const auto& [name, type] : links) {
      if (type == H5L_TYPE_EXTERNAL) note_external(group, name);
      if (type != H5L_TYPE_HARD) continue;
      const Handle object(H5Oopen(group, name.c_str(), H5P_DEFAULT), H5Oclose);
      ObjectInfo info;
      if (!object || H5Oget_info2(object.get(), &info, H5O_INFO_BASIC) < 0 ||
          !objects_.insert(info.addr).second)
        continue;
      const std::string child = path + "/" + name;
      if (info.type == H5O_TYPE_GROUP) walk_group(object.get(), child);
      if (info.type == H5O_TYPE_DATASET) datasets_.push_back(child);
    }
    hdf5_reason();
  }

  // The texts of attributes, which lie in heaps of the file.
  static void read_texts(hid_t object) {
    std::vector<std::string> names;
    const auto add = [](hid_t, const char* name, const H5A_info_t*, void* list) -> herr_t {
      static_cast<std::vector<std::string>*>(list)->emplace_back(name);
      return 0;
    };
    hsize_t start = 0;
    H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, &start, add, &names);
    for (const std::string& name : names)
      attempt([&] { text_attribute(object, name.c_str(), ""); });
    hdf5_reason();
  }

  void note_external(hid_t group, const std::string& name) {
    H5L_info_t info;
    if (H5Lget_info(group, name.c_str(), &info, H5P_DEFAULT) < 0) return;
    std::vector<char> value(info.u.val_size + 1);
    unsigned flags;
    const char *file = nullptr, *object = nullptr;
    if (H5Lget_val(group, name.c_str(), value.data(), value.size(), H5P_DEFAULT) >= 0 &&
        H5Lunpack_elink_val(value.data(), info.u.val_size, &flags, &file, &object) >= 0)
      note_file(file);
  }

  void note_file(const std::string& name) {
    if (name.empty() || name == ".") return;
    const fs::path target = folder_ / name;
    attempt([&] {
      reach_.check(target, name);
      std::error_code none;
      if (fs::is_regular_file(target, none)) to_walk_.push_back(target);
    });
  }

  void walk_dataset(const std::shared_ptr<const InputFile>& file, const std::string& path) {
    ++counts_.datasets;
    // First: HDF5 opens a virtual dataset's sources to tell its extents. Nobody reads it without
    // them.
    bool within_reach = false;
    attempt([&] {
      check_sources({file, path}, reach_);
      within_reach = true;
    });
    if (!within_reach) return;
    bool elsewhere = false, unpacked_by_hdf5 = false;
    attempt([&] {
      const StoredDataset stored = ask_hdf5(*file, path);
      unpacked_by_hdf5 = !stored.form->filters.empty() && !stored.form->only_hdf5.empty();
    });
    {
      Hdf5Lock lock;
      const Handle dataset = open_located(*file, path);
      if (dataset) {
        read_texts(dataset.get());
        attempt([&] { read_header(dataset.get(), file->path().string(), path); });
      }
      const Handle creation(dataset ? H5Dget_create_plist(dataset.get()) : -1, H5Pclose);
      if (creation) {
        H5D_fill_value_t fill;
        H5Pfill_value_defined(creation.get(), &fill);
        H5Dget_storage_size(dataset.get());  // walks the whole index of the chunks
        elsewhere = H5Pget_layout(creation.get()) == H5D_VIRTUAL ||
                    H5Pget_external_count(creation.get()) > 0;
        note_sources(creation.get());
      }
      hdf5_reason();
    }
    // Damaged parameters of HDF5's own filters let them write anywhere.
    if (unpacked_by_hdf5) attempt([&] { read_one(*file, path); });
    if (elsewhere)
      attempt([&] {
        check_sources({file, path}, reach_);
        read_one(*file, path);
      });
  }

  void note_sources(hid_t creation) {
    std::size_t parts = 0;
    if (H5Pget_layout(creation) != H5D_VIRTUAL || H5Pget_virtual_count(creation, &parts) < 0)
      return;
    for (std::size_t i = 0; i < parts; ++i) {
      std::array<char, 4096> name{};
      if (H5Pget_virtual_filename(creation, i, name.data(), name.size() - 1) >= 0)
        note_file(name.data());
    }
  }

  // HDF5 looks for the parts of a virtual dataset when its first element is read.
  void read_one(const InputFile& file, const std::string& path) {
    Hdf5Lock lock;
    const Handle dataset = open_located(file, path);
    const Handle from(dataset ? H5Dget_space(dataset.get()) : -1, H5Sclose);
    const Handle type(dataset ? H5Dget_type(dataset.get()) : -1, H5Tclose);
    const int rank = from ? H5Sget_simple_extent_ndims(from.get()) : -1;
    if (rank < 1 || !type || !dtype_of(type.get())) return;
    const std::vector<hsize_t> start(static_cast<std::size_t>(rank), 0),
        one(static_cast<std::size_t>(rank), 1);
    const Handle to(H5Screate_simple(rank, one.data(), nullptr), H5Sclose);
    std::array<std::byte, 16> element{};
    if (H5Sselect_hyperslab(from.get(), H5S_SELECT_SET, start.data(), nullptr, one.data(),
                            nullptr) >= 0)
      H5Dread(dataset.get(), type.get(), to.get(), from.get(), H5P_DEFAULT, element.data());
    hdf5_reason();
  }

  Reach reach_;
  std::deque<fs::path> to_walk_;
  std::set<fs::path> files_;  // that have been walked
  // Of the file that is being walked:
  fs::path folder_;
  std::set<haddr_t> objects_;
  std::vector<std::string> datasets_;
  Counts counts_;
};

std::string printable(std::string name) {
  std::replace(name.begin(), name.end(), '\n', ' ');
  return name;
}

std::string line_of(MetadataWalk& walk, const std::string& file) {
  try {
    const Counts counts = walk.walk(file);
    return fmt::format("{}: walked, groups {}, datasets {}", printable(file), counts.groups,
                       counts.datasets);
  } catch (const Error& error) {
    return fmt::format("{}: {}", printable(file), printable(error.what()));
  } catch (const std::exception& error) {  // out of memory, or a size that nothing can have
    return fmt::format("failed: {}", printable(error.what()));
  }
}

}  // namespace

void walk_metadata(std::span<const std::string> files, Follow follow) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const rlimit no_core{0, 0}, memory{kMostMemory, kMostMemory};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::setrlimit(RLIMIT_AS, &memory);
  std::vector<std::string> named(files.begin(), files.end());
  if (named == std::vector<std::string>{"-"}) {
    named.clear();
    for (std::string name; std::getline(std::cin, name, '\0');) named.push_back(name);
  }
  MetadataWalk walk(Reach(follow, {named.begin(), named.end()}));
  for (const std::string& file : named) {
    std::fputs((line_of(walk, file) + "\n").c_str(), stdout);
    std::fflush(stdout);
  }
}

}  // namespace lockstep::data
