#include <algorithm>
#include <cmath>
#include <map>

#include "lockstep/core/error.h"
#include "lockstep/core/safetensors.h"
#include "lockstep/train/weights.h"
#include "train/weight_names.h"

namespace lockstep::train {
namespace {

namespace fs = std::filesystem;

std::string joined(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(std::min(kShown, names.size()));
  std::string text = fmt::format("{}", fmt::join(names.begin(), end, ", "));
  if (names.size() > kShown) text += fmt::format(" and {} more", names.size() - kShown);
  return text;
}

// The file's tensors by their names without prefix.
class Tensors {
 public:
  Tensors(const fs::path& file, WeightLayout layout, bool tied) : reader_(file), layout_(layout) {
    for (const SafeTensor& t : reader_.tensors()) {
      if (is_no_weight(layout, tied, t.name)) continue;
      unused_.emplace(without_prefix(layout, t.name), &t);
    }
  }

  const SafeTensor* take(const WeightName& wanted) {
    const auto found = unused_.find(std::string(without_prefix(layout_, wanted.name)));
    if (found == unused_.end()) return nullptr;
    const SafeTensor* tensor = found->second;
    unused_.erase(found);
    return tensor;
  }
  std::vector<std::string> unused() const {
    std::vector<std::string> names;
    for (const auto& [name, tensor] : unused_) names.push_back(tensor->name);
    return names;
  }
  const SafeTensorsReader& reader() const { return reader_; }

 private:
  SafeTensorsReader reader_;
  const WeightLayout layout_;
  std::map<std::string, const SafeTensor*> unused_;
};

void copy_rows(const std::vector<float>& values, const WeightName& name, const Parameter& p,
               float* flat) {
  const std::int64_t width = p.elements / std::max<std::int64_t>(1, p.shape.rank() ? p.shape[0] : 1);
  float* const to = flat + p.offset + name.first_row * width;
  for (std::int64_t r = 0; r < name.rows; ++r)
    for (std::int64_t c = 0; c < width; ++c)
      to[r * width + c] = values[name.transposed ? c * name.rows + r : r * width + c];
}

}  // namespace

void read_weights(const fs::path& path, const nn::PresetOptions& preset,
                  const ParameterTable& table, float* flat) {
  const fs::path file = fs::is_directory(path) ? path / "model.safetensors" : path;
  const WeightLayout layout = layout_of(preset.preset);
  const bool tied = table.find("output.weight") < 0;
  Tensors tensors(file, layout, tied);
  std::vector<std::string> missing, different;
  std::vector<float> values;
  for (const WeightName& name : weight_names(layout, preset, table)) {
    const Parameter& p = table[name.parameter];
    const SafeTensor* tensor = tensors.take(name);
    if (tensor == nullptr) {
      if (p.kind != ParameterKind::kStatistic) missing.push_back(name.name);
      continue;
    }
    if (!(tensor->shape == name.shape)) {
      different.push_back(fmt::format("{} is {} (this model: {})", tensor->name,
                                      tensor->shape.text(), name.shape.text()));
      continue;
    }
    values.resize(static_cast<std::size_t>(name.shape.elements()));
    tensors.reader().read(*tensor, values);
    const auto bad = std::find_if(values.begin(), values.end(),
                                  [](float value) { return !std::isfinite(value); });
    if (bad != values.end())
      throw DataError("{}: element {} of tensor {} is {}; the file cannot be trusted", file.string(),
                      bad - values.begin(), tensor->name, *bad);
    copy_rows(values, name, p, flat);
  }
  if (!missing.empty())
    throw UserError("{} lacks tensors of this model: {}; choose model.preset and its sizes as the "
                    "file's model has them",
                    file.string(), joined(missing));
  if (!different.empty())
    throw UserError("{}: tensors of another shape: {}; choose model.preset and its sizes (and "
                    "model.outputs, model.context) as the file's model has them",
                    file.string(), joined(different));
  if (const auto unused = tensors.unused(); !unused.empty())
    throw UserError("{} has tensors that this model lacks: {}; choose model.preset and its sizes as "
                    "the file's model has them",
                    file.string(), joined(unused));
}

}  // namespace lockstep::train
