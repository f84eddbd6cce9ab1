#include "measure.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>

#include "lockstep/core/error.h"
#include "scan.h"
#include "statistics.h"

namespace lockstep::data {
namespace {

// Figures are found from blocks of kScanBytes of rows, whatever the units are, so that a rank may
// begin at any block. block_rows * block is a block's first row.
std::int64_t block_rows(const Field& field) {
  return std::clamp<std::int64_t>(kScanBytes / static_cast<std::int64_t>(field.sample_bytes()), 1,
                                  std::max<std::int64_t>(field.count, 1));
}

struct Range {
  std::int64_t begin = 0, end = 0;
};

Range share(std::int64_t all, int position, int ranks) {
  return {all * position / ranks, all * (position + 1) / ranks};
}

class Measurement {
 public:
  Measurement(const Manifest& manifest, const Split& split, const Field& field)
      : manifest_(manifest),
        split_(split),
        field_(field),
        step_(block_rows(field)),
        row_bytes_(field.sample_bytes()),
        statistics_(field.dtype, field.sample) {}

  std::int64_t blocks() const { return (field_.count + step_ - 1) / step_; }

  // In one pass: the units' rows are the split's.
  void read_units(Range blocks) {
    const Range rows{blocks.begin * step_, std::min(blocks.end * step_, field_.count)};
    if (rows.begin >= rows.end) return;
    const auto units = open_units(manifest_, split_, field_);
    std::vector<std::byte> waiting, unit_rows;
    std::int64_t block = blocks.begin;
    const std::size_t whole = static_cast<std::size_t>(step_) * row_bytes_;
    const auto add_blocks = [&](std::size_t least) {
      std::size_t used = 0;
      for (std::size_t left; (left = waiting.size() - used) >= least && left > 0;) {
        const std::size_t bytes = std::min(whole, left);
        statistics_.add(block++, waiting.data() + used,
                        static_cast<std::int64_t>(bytes / row_bytes_));
        used += bytes;
      }
      waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(used));
    };
    for (std::int64_t u = units->unit_of(rows.begin); u < units->units(); ++u) {
      const UnitSource::Unit unit = units->unit(u);
      if (unit.first >= rows.end) break;
      unit_rows.resize(static_cast<std::size_t>(unit.rows) * row_bytes_);
      units->read_unit(u, unit_rows.data());
      // A unit on a border is read on both sides of it, and hashed where it begins.
      if (unit.first >= rows.begin)
        hashes_.push_back(hash_bytes(unit_rows.data(), unit_rows.size()));
      const auto at = [&](std::int64_t row) {
        return unit_rows.begin() +
               static_cast<std::ptrdiff_t>(static_cast<std::size_t>(row - unit.first) * row_bytes_);
      };
      waiting.insert(waiting.end(), at(std::max(unit.first, rows.begin)),
                     at(std::min(unit.first + unit.rows, rows.end)));
      add_blocks(whole);
    }
    add_blocks(0);
  }

  void read_rows(Range blocks) {
    const auto source = open_rows(manifest_, split_, field_);
    std::vector<std::byte> rows(static_cast<std::size_t>(step_) * row_bytes_);
    KeptUnit kept;
    for (std::int64_t block = blocks.begin; block < blocks.end; ++block) {
      const std::int64_t first = block * step_, count = std::min(step_, field_.count - first);
      source->read(first, count, rows.data(), kept);
      statistics_.add(block, rows.data(), count);
    }
  }

  void hash_units(int position, int ranks) {
    const auto units = open_units(manifest_, split_, field_);
    const Range mine = share(units->units(), position, ranks);
    std::vector<std::byte> rows;
    for (std::int64_t u = mine.begin; u < mine.end; ++u) {
      rows.resize(static_cast<std::size_t>(units->unit(u).rows) * units->row_bytes());
      units->read_unit(u, rows.data());
      hashes_.push_back(hash_bytes(rows.data(), rows.size()));
    }
  }

  Statistics& statistics() { return statistics_; }
  UnitHashes& hashes() { return hashes_; }

 private:
  const Manifest& manifest_;
  const Split& split_;
  const Field& field_;
  std::int64_t step_;
  std::size_t row_bytes_;
  Statistics statistics_;
  UnitHashes hashes_;
};

std::vector<std::vector<std::byte>> gather_parts(comm::Communicator& communicator,
                                                 const std::vector<std::byte>& mine) {
  const std::uint64_t bytes = mine.size();
  const auto sizes = communicator.gather_all(std::as_bytes(std::span(&bytes, 1)));
  const auto all = communicator.gather_all(mine);
  std::vector<std::vector<std::byte>> parts;
  std::size_t at = 0;
  for (std::size_t i = 0; i < sizes.size(); i += sizeof bytes) {
    std::uint64_t size;
    std::memcpy(&size, sizes.data() + i, sizeof size);
    const auto first = all.begin() + static_cast<std::ptrdiff_t>(at);
    parts.emplace_back(first, first + static_cast<std::ptrdiff_t>(size));
    at += size;
  }
  return parts;
}

}  // namespace

Measured measure_field(comm::Communicator& communicator, const Manifest& manifest,
                       const Split& split, const Field& field, bool with_hashes) {
  Measurement mine(manifest, split, field);
  const int position = communicator.topology().position, ranks = communicator.size();
  const bool units_are_rows = split.selection.of == 0 && field.sequence == 0;
  communicator.together([&] {
    const Range blocks = share(mine.blocks(), position, ranks);
    if (with_hashes && units_are_rows) {
      mine.read_units(blocks);
    } else {
      mine.read_rows(blocks);
      if (with_hashes) mine.hash_units(position, ranks);
    }
  });
  Statistics all(field.dtype, field.sample);
  for (const auto& part : gather_parts(communicator, mine.statistics().bytes())) all.merge(part);
  Measured measured{all.figures(), {}};
  if (!with_hashes) return measured;
  const auto bytes = communicator.gather_all(std::as_bytes(std::span(mine.hashes())));
  measured.hashes.resize(bytes.size() / sizeof(Hash128));
  std::memcpy(measured.hashes.data(), bytes.data(), bytes.size());
  return measured;
}

Figures read_figures(const Manifest& manifest, const Split& split, const Field& field) {
  Measurement mine(manifest, split, field);
  mine.read_rows({0, mine.blocks()});
  return mine.statistics().figures();
}

void find_classes(Manifest& manifest) {
  std::map<std::string, double> largest;  // by field name, over the splits
  const auto eligible = [](const Field& f) {
    return !is_float(f.dtype) && f.sample.elements() == 1 && f.count > 0;
  };
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields) {
      if (!eligible(field)) continue;
      const Figures figures =
          field.figures.known ? field.figures : read_figures(manifest, split, field);
      // Negative numbers are no classes.
      const double top =
          figures.minimum < 0 ? std::numeric_limits<double>::infinity() : figures.maximum;
      double& known = largest[field.name];
      known = std::max(known, top);
    }
  for (Split& split : manifest.splits)
    for (Field& field : split.fields)
      if (eligible(field) && largest[field.name] < std::numeric_limits<std::int32_t>::max())
        field.classes = static_cast<std::int64_t>(largest[field.name]) + 1;
}

void add_statistics(comm::Communicator& communicator, Manifest& manifest, const std::string& split,
                    const std::string& name) {
  const Field& field = resolve_field(manifest, split, name, "input");
  if (field.reference.known) return;
  const std::string found = field.name;
  const Figures figures =
      measure_field(communicator, manifest, *manifest.find(split), field, false).figures;
  for (Split& s : manifest.splits)
    for (Field& f : s.fields)
      if (f.name == found) f.reference = figures;
}

}  // namespace lockstep::data
