// Bytes of files, and units of fields.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "bench/data_parts.h"
#include "data/row_source.h"
#include "lockstep/core/error.h"
#include "lockstep/core/fault.h"
#include "lockstep/data/plain_hdf5.h"

namespace lockstep::bench {
namespace {

constexpr std::size_t kPiece = 1 << 20;

// Bytes of all files of a dataset, one behind the other, without end.
class Bytes {
 public:
  explicit Bytes(const std::vector<std::filesystem::path>& files) : files_(files), piece_(kPiece) {
    for (const auto& file : files) sizes_.push_back(std::filesystem::file_size(file));
  }
  ~Bytes() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;

  // Begins at this part of the whole, so that ranks read apart.
  void seek(double part) {
    std::uint64_t total = 0;
    for (const std::uint64_t size : sizes_) total += size;
    auto at = static_cast<std::uint64_t>(part * static_cast<double>(total));
    for (file_ = 0; file_ + 1 < files_.size() && at >= sizes_[file_]; ++file_) at -= sizes_[file_];
    at_ = at / kPiece * kPiece;
    open();
  }
  void read_piece() {
    for (std::size_t left = kPiece; left > 0;) {
      const ssize_t n = ::pread(descriptor_, piece_.data(), left, static_cast<off_t>(at_));
      if (n < 0) throw DataError("{}: cannot be read ({})", files_[file_].string(), std::strerror(errno));
      at_ += static_cast<std::uint64_t>(n);
      left -= static_cast<std::size_t>(n);
      if (at_ < sizes_[file_] && n > 0) continue;
      file_ = (file_ + 1) % files_.size();
      at_ = 0;
      if (files_.size() > 1) open();
    }
  }

 private:
  void open() {
    if (descriptor_ >= 0) ::close(descriptor_);
    descriptor_ = ::open(files_[file_].c_str(), O_RDONLY | O_CLOEXEC);
    if (descriptor_ < 0)
      throw DataError("{}: cannot be opened ({})", files_[file_].string(), std::strerror(errno));
  }
  const std::vector<std::filesystem::path>& files_;
  std::vector<std::uint64_t> sizes_;
  std::vector<std::byte> piece_;
  std::size_t file_ = 0;
  std::uint64_t at_ = 0;
  int descriptor_ = -1;
};

// Units of a field, from this rank's first one on, again and again.
class Units {
 public:
  Units(const DataSubject& subject, const data::Split& split, const data::Field& field)
      : ranks_(subject.communicator.size()),
        units_(data::open_units(subject.manifest, split, field)) {
    if (data::has_plain_rows(field)) plain_.emplace(subject.manifest, field);
    at_ = subject.communicator.topology().position % units_->units();
    std::int64_t most = 0;
    for (std::int64_t u = 0; u < units_->units(); ++u) most = std::max(most, units_->unit(u).rows);
    rows_.resize(static_cast<std::size_t>(most) * units_->row_bytes());
  }
  void decode() {
    stored += units_->read_unit(at_, rows_.data());
    count();
  }
  void read_plainly() {
    const auto unit = units_->unit(at_);
    plain_->read(unit.first, unit.rows, rows_.data());
    count();
  }
  bool has_plain() const { return plain_.has_value(); }

  // The first, the last and some units between: bytes against H5Dread's.
  std::string check() {
    constexpr std::int64_t kChecked = 16;
    const std::int64_t step = std::max<std::int64_t>(1, units_->units() / kChecked);
    for (std::int64_t u = 0; u < units_->units(); u += step) {
      const auto unit = units_->unit(u == 0 ? units_->units() - 1 : u - step);
      const std::size_t bytes = static_cast<std::size_t>(unit.rows) * units_->row_bytes();
      units_->read_unit(units_->unit_of(unit.first), rows_.data());
      bool flip = false;
      if (fault::damages("bench", -1, flip)) rows_[bytes / 2] ^= std::byte{1};
      std::vector<std::byte> expected(bytes);
      plain_->read(unit.first, unit.rows, expected.data());
      const auto [got, other] = std::mismatch(rows_.begin(), rows_.begin() + bytes, expected.begin());
      if (other != expected.end())
        return fmt::format("{}: byte {} differs from H5Dread's", units_->place(unit.first),
                           other - expected.begin());
    }
    return {};
  }
  std::string way() const { return units_->way(); }

  double stored = 0, decoded = 0, rows = 0;  // so far, of this rank

 private:
  void count() {
    const auto unit = units_->unit(at_);
    rows += static_cast<double>(unit.rows);
    decoded += static_cast<double>(unit.rows) * static_cast<double>(units_->row_bytes());
    at_ = (at_ + ranks_) % units_->units();
  }
  const std::int64_t ranks_;
  const std::shared_ptr<const data::UnitSource> units_;
  std::optional<data::PlainRows> plain_;
  std::int64_t at_ = 0;
  std::vector<std::byte> rows_;
};

// Rates of all ranks: what a call did in the mean, by the median of its time.
Row unit_row(const DataSubject& subject, Units& units, bool plain, double raw,
             const std::string& name) {
  comm::Communicator& communicator = subject.communicator;
  Row row;
  row.group = "decode";
  row.name = name;
  units.stored = units.decoded = units.rows = 0;
  std::int64_t calls = 0;
  row.time = measure(
      communicator,
      [&] {
        plain ? units.read_plainly() : units.decode();
        ++calls;
      },
      {.seconds = subject.request.seconds, .together = true});
  const double each = static_cast<double>(communicator.size()) / static_cast<double>(calls);
  row.figures = {{"samples", "/s", units.rows * each / row.time.median},
                 {"decoded", "B/s", units.decoded * each / row.time.median}};
  if (plain) return row;
  const double stored = units.stored * each / row.time.median;
  row.figures.push_back({"stored", "B/s", stored});
  row.of_ceiling = stored / raw;
  return row;
}

}  // namespace

double add_reading(const DataSubject& subject, Results& results) {
  comm::Communicator& communicator = subject.communicator;
  Bytes bytes(subject.manifest.files);
  bytes.seek(static_cast<double>(communicator.topology().position) / communicator.size());
  Row row;
  row.group = "read";
  row.name = "pread 1 MiB";
  row.verified = "-";
  row.time = measure(communicator, [&] { bytes.read_piece(); },
                     {.seconds = subject.request.seconds, .together = true});
  const double rate = static_cast<double>(kPiece) * communicator.size() / row.time.median;
  row.figures = {{"stored", "B/s", rate}};
  if (wanted(subject.request.only, "read", "")) results.rows.push_back(std::move(row));
  return rate;
}

void add_decoding(const DataSubject& subject, double raw, Results& results) {
  if (!wanted(subject.request.only, "decode", "")) return;
  const data::Split* split = subject.manifest.find(subject.run.data.train);
  if (split == nullptr)
    throw UserError("{} has no split '{}'", subject.manifest.name(), subject.run.data.train);
  for (const data::Field& field : split->fields) {
    Units units(subject, *split, field);
    const std::string checked =
        units.has_plain() ? agreed(subject.communicator, units.check()) : "-";
    Row row = unit_row(subject, units, false, raw, field.name);
    row.verified = checked;
    results.rows.push_back(std::move(row));
    if (!units.has_plain()) continue;
    Row plain = unit_row(subject, units, true, raw, field.name + ", H5Dread");
    plain.verified = "-";
    results.rows.push_back(std::move(plain));
  }
}

}  // namespace lockstep::bench
