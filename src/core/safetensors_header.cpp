#include "safetensors_header.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "lockstep/core/error.h"

namespace lockstep {
namespace {

using nlohmann::json;

constexpr const char* kMetadata = "__metadata__";
constexpr int kMostDepth = 4;  // {name: {shape: [...]}} and one more

struct Dtype {
  std::string_view name;
  std::size_t bytes;
};
constexpr Dtype kDtypes[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2},    {"I64", 8},
                             {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U64", 8},     {"U32", 4},
                             {"U16", 2}, {"U8", 1},  {"BOOL", 1}, {"F8_E4M3", 1}, {"F8_E5M2", 1}};

struct Entry {
  SafeTensor tensor;
  std::uint64_t begin = 0, end = 0;
};

class Parser {
 public:
  Parser(std::uint64_t data_bytes, const std::string& file)
      : data_bytes_(data_bytes), file_(file) {}

  SafeTensorsHeader parse(std::string_view text) {
    const json all = parse_json(text);
    if (!all.is_object()) fail("its header is no JSON object");
    SafeTensorsHeader header;
    std::vector<Entry> entries;
    for (const auto& [name, value] : all.items()) {
      if (name == kMetadata)
        header.metadata = metadata_of(value);
      else
        entries.push_back(entry_of(name, value));
    }
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
      return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
    });
    std::uint64_t end = 0;
    for (Entry& e : entries) {
      if (e.begin < end) fail_tensor(e.tensor.name, "overlaps the data of another tensor");
      if (e.begin > end) fail_tensor(e.tensor.name, "begins behind bytes that no tensor has");
      end = e.end;
      header.begins.push_back(e.begin);
      header.tensors.push_back(std::move(e.tensor));
    }
    if (end != data_bytes_)
      fail(fmt::format("its tensors have {} bytes, but the file {}", end, data_bytes_));
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    throw DataError("{} is no safetensors file that can be trusted: {}; get it again", file_, why);
  }
  [[noreturn]] void fail_tensor(const std::string& name, const std::string& why) const {
    fail(fmt::format("tensor \"{}\" {}", name, why));
  }

  json parse_json(std::string_view text) const {
    std::vector<std::set<std::string>> names;  // of each object that is open
    const auto check = [&](int depth, json::parse_event_t event, json& value) {
      if (depth > kMostDepth) fail("its header is nested too deeply");
      if (event == json::parse_event_t::object_start) names.emplace_back();
      if (event == json::parse_event_t::object_end) names.pop_back();
      if (event == json::parse_event_t::key &&
          !names.back().insert(value.get<std::string>()).second)
        fail(fmt::format("its header has \"{}\" twice", value.get<std::string>()));
      return true;
    };
    try {
      return json::parse(text, check);
    } catch (const json::exception&) {
      fail("its header is no JSON");
    }
  }

  std::map<std::string, std::string> metadata_of(const json& value) const {
    std::map<std::string, std::string> metadata;
    const auto is_text = [](const json& v) { return v.is_string(); };
    if (!value.is_object() || !std::all_of(value.begin(), value.end(), is_text))
      fail(fmt::format("its {} is not a list of texts", kMetadata));
    for (const auto& [key, text] : value.items()) metadata[key] = text;
    return metadata;
  }

  Entry entry_of(const std::string& name, const json& value) const {
    if (!value.is_object() || value.size() != 3 || !value.contains("dtype") ||
        !value.contains("shape") || !value.contains("data_offsets"))
      fail_tensor(name, "does not say dtype, shape and data_offsets, and only these");
    Entry entry;
    entry.tensor.name = name;
    if (!value["dtype"].is_string()) fail_tensor(name, "has a dtype that is no text");
    entry.tensor.dtype = value["dtype"];
    std::uint64_t bytes = safetensors_element_bytes(entry.tensor.dtype);
    if (bytes == 0)
      fail_tensor(name, fmt::format("has the unknown dtype \"{}\"", entry.tensor.dtype));
    const auto shape = numbers_of(name, value["shape"], "shape");
    if (shape.size() > static_cast<std::size_t>(Shape::kMaxRank))
      fail_tensor(name, fmt::format("has {} dimensions, the most are {}", shape.size(),
                                    Shape::kMaxRank));
    // A zero among them counts as 1 here: the others must not overflow all the same.
    for (const std::uint64_t extent : shape) {
      const std::uint64_t factor = std::max<std::uint64_t>(extent, 1);
      if (extent > kMostBytes || __builtin_mul_overflow(bytes, factor, &bytes) ||
          bytes > kMostBytes)
        fail_tensor(name, "has a shape of too many elements");
      entry.tensor.shape = entry.tensor.shape.append(static_cast<std::int64_t>(extent));
    }
    if (std::find(shape.begin(), shape.end(), 0U) != shape.end()) bytes = 0;
    const auto offsets = numbers_of(name, value["data_offsets"], "data_offsets");
    if (offsets.size() != 2 || offsets[0] > offsets[1] || offsets[1] > data_bytes_)
      fail_tensor(name, "has data_offsets that are not two places in the file, in order");
    entry.begin = offsets[0], entry.end = offsets[1];
    if (entry.end - entry.begin != bytes)
      fail_tensor(name, fmt::format("has {} bytes of data, but {} {} needs {}",
                                    entry.end - entry.begin, entry.tensor.dtype,
                                    entry.tensor.shape.text(), bytes));
    return entry;
  }

  std::vector<std::uint64_t> numbers_of(const std::string& name, const json& value,
                                        const char* what) const {
    std::vector<std::uint64_t> numbers;
    if (!value.is_array()) fail_tensor(name, fmt::format("has a {} that is no list", what));
    for (const json& number : value) {
      if (!number.is_number_unsigned())
        fail_tensor(name, fmt::format("has a {} with something else than numbers from 0", what));
      numbers.push_back(number);
    }
    return numbers;
  }

  static constexpr std::uint64_t kMostBytes = std::numeric_limits<std::int64_t>::max();
  std::uint64_t data_bytes_;
  const std::string& file_;
};

}  // namespace

std::size_t safetensors_element_bytes(std::string_view dtype) {
  for (const Dtype& known : kDtypes)
    if (known.name == dtype) return known.bytes;
  return 0;
}

SafeTensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_bytes,
                                           const std::string& file) {
  return Parser(data_bytes, file).parse(text);
}

std::string format_safetensors_header(const std::vector<SafeTensor>& tensors,
                                      const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json all = nlohmann::ordered_json::object();
  if (!metadata.empty()) all[kMetadata] = metadata;
  std::uint64_t end = 0;
  for (const SafeTensor& t : tensors) {
    LOCKSTEP_CHECK(t.dtype == "F32" && !all.contains(t.name), "tensor {} of {}", t.name, t.dtype);
    const std::uint64_t begin = end;
    end += static_cast<std::uint64_t>(t.shape.elements()) * sizeof(float);
    all[t.name] = {{"dtype", t.dtype},
                   {"shape", std::vector<std::int64_t>(t.shape.begin(), t.shape.end())},
                   {"data_offsets", {begin, end}}};
  }
  std::string text = all.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

}  // namespace lockstep
