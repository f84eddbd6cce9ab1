// `inspect --check`: every row is read, all ranks together.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "elements.h"
#include "lockstep/core/error.h"
#include "lockstep/data/import.h"
#include "lockstep/data/tokenizer.h"
#include "lockstep/data/versions.h"
#include "scan.h"

namespace lockstep::data {
namespace {

class FieldCheck {
 public:
  FieldCheck(const Manifest& manifest, const Split& split, const Field& field)
      : manifest_(manifest), split_(split), field_(field) {}

  // Rows [first, end) of the split.
  void read(std::int64_t first, std::int64_t end) {
    if (first >= end) return;
    const auto source = open_rows(manifest_, split_, field_);
    const auto row_bytes = static_cast<std::int64_t>(field_.sample_bytes());
    const std::int64_t step = std::clamp<std::int64_t>(kScanBytes / row_bytes, 1, end - first);
    std::vector<std::byte> rows(static_cast<std::size_t>(step * row_bytes));
    KeptUnit kept;
    for (; first < end; first += step) {
      const std::int64_t count = std::min(step, end - first);
      source->read(first, count, rows.data(), kept);
      check(*source, first, count, rows.data());
    }
  }

  // A rank's rows begin where a unit does, so that each is read once.
  std::int64_t begin_of(int position, int ranks) const {
    if (position == ranks) return field_.count;
    const std::int64_t row = field_.count * position / ranks;
    if (split_.selection.of > 0 || row == 0) return row;
    const auto units = open_units(manifest_, split_, field_);
    return units->unit(units->unit_of(row)).first;
  }

 private:
  void check(const RowSource& source, std::int64_t first, std::int64_t count,
             const std::byte* rows) const {
    const std::int64_t elements = field_.sample.elements(), all = count * elements;
    if (const std::int64_t bad = first_not_finite(field_.dtype, rows, all); bad < all)
      throw DataError("{}, element {} is {}", source.place(first + bad / elements), bad % elements,
                      value_at(rows, bad));
    const bool tokens = field_.role == "tokens";
    if ((field_.role != "target" && !tokens) || field_.classes == 0) return;
    if (const std::int64_t bad = first_bad_label(field_.dtype, rows, all, field_.classes);
        bad < all)
      throw DataError("{} is {}, which is no {} number from 0 to {}",
                      source.place(first + bad / elements), value_at(rows, bad),
                      tokens ? "token" : "class", field_.classes - 1);
  }
  double value_at(const std::byte* rows, std::int64_t i) const {
    double value;
    to_doubles(field_.dtype, rows + static_cast<std::size_t>(i) * size_of(field_.dtype), 1, &value);
    return value;
  }

  const Manifest& manifest_;
  const Split& split_;
  const Field& field_;
};

}  // namespace

std::string inspect_check(comm::Communicator& communicator, const Description& description) {
  const Manifest manifest = read_manifest(communicator, description);
  const int position = communicator.topology().position, ranks = communicator.size();
  std::int64_t hashed = 0, fields = 0;
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields) {
      communicator.set_activity("checking the dataset", 0);
      std::int64_t units = 0;
      communicator.together([&] {
        FieldCheck check(manifest, split, field);
        check.read(check.begin_of(position, ranks), check.begin_of(position + 1, ranks));
        if (!field.hashes.empty()) units = open_units(manifest, split, field)->units();
      });
      hashed += units;
      fields += field.hashes.empty() ? 0 : 1;
    }
  communicator.together([&] {
    if (communicator.rank() != 0 || manifest.text.empty()) return;
    if (nlohmann::json::parse(manifest.text).contains("tokenizer"))
      read_tokenizer(manifest.files.front());
  });
  std::string text;
  if (fields > 0)
    text = fmt::format("{} chunks of {} field{} agree with their hashes, which make the id {}",
                       hashed, fields, fields == 1 ? "" : "s",
                       manifest.id.empty() ? "of no whole version" : manifest.id);
  const std::string unchecked = unchecked_text(manifest);
  return text + (text.empty() || unchecked.empty() ? "" : "\n") + unchecked;
}

void inspect_check(const std::filesystem::path& file) {
  Description description;
  description.path = {file.string()};
  const auto alone = comm::make_self_communicator();
  inspect_check(*alone, description);
}

}  // namespace lockstep::data
