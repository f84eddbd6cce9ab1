// A folder of PNG files for each class. Samples follow each other so that every stretch of the file
// has the classes in their proportion; names of classes and of files are sorted by bytes.
#include <algorithm>
#include <cstring>

#include "lockstep/core/error.h"
#include "lockstep/core/log.h"
#include "png_image.h"
#include "source.h"

namespace lockstep::data {
namespace {

namespace fs = std::filesystem;
constexpr std::int64_t kMostByteClasses = 256;

struct Picture {
  std::string file;  // below the folder
  std::int32_t label = 0;
};

bool is_png(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return ending == ".png";
}

std::vector<std::string> sorted_names(const fs::path& folder, bool folders, std::int64_t& others) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator i(folder, error), end; !error && i != end; i.increment(error)) {
    const std::string name = i->path().filename().string();
    if (name.starts_with(".")) continue;
    if (folders ? i->is_directory() : is_png(i->path()))
      names.push_back(name);
    else
      ++others;
  }
  if (error) throw UserError("cannot read the folder {}: {}", folder.string(), error.message());
  std::sort(names.begin(), names.end());
  return names;
}

struct Listing {
  std::vector<std::string> classes;
  std::vector<Picture> pictures;
};

Listing list_folder(const fs::path& folder) {
  if (!fs::is_directory(folder))
    throw UserError("{} is no folder; a PNG import names one, with a folder for each class",
                    folder.string());
  Listing listing;
  std::int64_t others = 0;
  listing.classes = sorted_names(folder, true, others);
  std::vector<std::pair<double, Picture>> placed;
  for (std::size_t c = 0; c < listing.classes.size(); ++c) {
    const auto files = sorted_names(folder / listing.classes[c], false, others);
    for (std::size_t i = 0; i < files.size(); ++i)
      placed.push_back({(static_cast<double>(i) + 0.5) / static_cast<double>(files.size()),
                        {listing.classes[c] + "/" + files[i], static_cast<std::int32_t>(c)}});
  }
  if (placed.empty())
    throw DataError("{} has no folders with PNG files in them; it needs one for each class",
                    folder.string());
  std::stable_sort(placed.begin(), placed.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [place, picture] : placed) listing.pictures.push_back(std::move(picture));
  if (others > 0)
    log::warn("{}: {} files that are not folder/name.png are left out", folder.string(), others);
  return listing;
}

// The first rank reads the folder, so that all have the same list.
Listing tell_listing(comm::Communicator& communicator, const fs::path& folder) {
  Listing listing;
  std::string text;
  communicator.together([&] {
    if (communicator.rank() != 0) return;
    listing = list_folder(folder);
    for (const std::string& name : listing.classes) text += name + '\0';
    text += '\0';
    for (const Picture& picture : listing.pictures)
      text += std::to_string(picture.label) + ":" + picture.file + '\0';
  });
  text = comm::broadcast_text(communicator, std::move(text));
  if (communicator.rank() == 0) return listing;
  bool classes = true;
  for (std::size_t at = 0; at < text.size();) {
    const std::string part = text.substr(at, text.find('\0', at) - at);
    at += part.size() + 1;
    if (part.empty())
      classes = false;
    else if (classes)
      listing.classes.push_back(part);
    else
      listing.pictures.push_back(
          {part.substr(part.find(':') + 1), static_cast<std::int32_t>(std::stol(part))});
  }
  return listing;
}

class PngFolder final : public Source {
 public:
  PngFolder(fs::path folder, std::vector<Picture> pictures, PngForm form, std::string first,
            DType label, bool drop_alpha)
      : folder_(std::move(folder)),
        pictures_(std::move(pictures)),
        form_(form),
        first_(std::move(first)),
        label_(label),
        drop_alpha_(drop_alpha) {}
  std::int64_t samples() const override { return static_cast<std::int64_t>(pictures_.size()); }
  void read(std::span<const std::int64_t> rows, std::span<std::byte* const> fields,
            std::span<std::uint8_t>) override {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Picture& picture = pictures_[static_cast<std::size_t>(rows[i])];
      const std::string path = (folder_ / picture.file).string();
      const PngForm form = read_png(path, drop_alpha_, pixels_);
      if (!(form == form_))
        throw DataError("{} is {}, but {} is {}; all must be alike", path, form.text(), first_,
                        form_.text());
      std::memcpy(fields[0] + i * pixels_.size(), pixels_.data(), pixels_.size());
      std::memcpy(fields[1] + i * size_of(label_), &picture.label, size_of(label_));
    }
  }
  std::string place(std::int64_t row, std::size_t) override {
    return (folder_ / pictures_[static_cast<std::size_t>(row)].file).string();
  }

 private:
  fs::path folder_;
  std::vector<Picture> pictures_;
  PngForm form_;
  std::string first_;  // the file that gave form_
  DType label_;
  bool drop_alpha_;
  std::vector<std::byte> pixels_;
};

const fs::path& one_folder(const std::vector<fs::path>& folders, const char* split) {
  if (folders.size() != 1)
    throw UserError("the {} split of a PNG import is one folder, not {}", split, folders.size());
  return folders.front();
}

}  // namespace

Sources open_png(comm::Communicator& communicator, const ImportOptions& options) {
  require_png();
  if (!options.target_is_class)
    throw UserError("the targets of a PNG import are classes, the names of the folders");
  const fs::path& folder = one_folder(options.train, "train");
  Listing train = tell_listing(communicator, folder), test;
  if (!options.test.empty()) test = tell_listing(communicator, one_folder(options.test, "test"));
  for (Picture& picture : test.pictures) {
    const std::string& name = test.classes[static_cast<std::size_t>(picture.label)];
    const auto found = std::find(train.classes.begin(), train.classes.end(), name);
    if (found == train.classes.end())
      throw DataError("{} has a class \"{}\", which {} has not", options.test.front().string(),
                      name, folder.string());
    picture.label = static_cast<std::int32_t>(found - train.classes.begin());
  }
  const std::string first = (folder / train.pictures.front().file).string();
  PngForm form;
  communicator.together([&] {
    std::vector<std::byte> pixels;
    form = read_png(first, options.drop_alpha, pixels);
  });
  const auto classes = static_cast<std::int64_t>(train.classes.size());
  const DType label = classes <= kMostByteClasses ? DType::kU8 : DType::kI32;
  Sources sources;
  SourceField image, target;
  image.column = {"image", form.bits == 16 ? DType::kU16 : DType::kU8, form.sample()};
  image.role = "input";
  target.column = {"label", label, {}};
  target.role = "target";
  target.classes = true;
  target.class_names = train.classes;
  sources.description.fields = {image, target};
  const auto source = [&](const fs::path& where, Listing& listing) {
    return std::make_unique<PngFolder>(where, std::move(listing.pictures), form, first, label,
                                       options.drop_alpha);
  };
  sources.train = source(folder, train);
  if (!options.test.empty()) sources.test = source(options.test.front(), test);
  return sources;
}

}  // namespace lockstep::data
