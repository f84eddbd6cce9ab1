// What comparing chunks with their hashes adds to reading them, on one thread.
//
//   lockstep import --train IMAGES LABELS --out a.h5 --deflate 4
//   bench_hashes a.h5 image
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "data/row_source.h"
#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/core/hash.h"
#include "lockstep/data/dataset.h"

namespace {

using namespace lockstep;

constexpr int kRounds = 11;

struct Times {
  double plain = 0, compared = 0, hashed = 0;  // seconds; hashed: of bytes in cache
};

double read_all(const data::UnitSource& units, std::vector<std::byte>& rows) {
  const double start = seconds_now();
  for (std::int64_t u = 0; u < units.units(); ++u) units.read_unit(u, rows.data());
  return seconds_now() - start;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + kRounds / 2, values.end());
  return values[kRounds / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "bench_hashes FILE FIELD\n");
    return 2;
  }
  const data::Manifest manifest = data::read_manifest(std::filesystem::path(argv[1]));
  const data::Split& split = manifest.splits.front();
  const data::Field* field = split.find(argv[2]);
  LOCKSTEP_CHECK(field != nullptr && !field->hashes.empty(), "{} has no hashes", argv[2]);
  data::Field unchecked = *field;
  unchecked.hashes.clear();
  const auto compared = data::open_units(manifest, split, *field),
             plain = data::open_units(manifest, split, unchecked);
  std::int64_t largest = 0;
  for (std::int64_t u = 0; u < plain->units(); ++u)
    largest = std::max(largest, plain->unit(u).rows);
  std::vector<std::byte> rows(static_cast<std::size_t>(largest) * plain->row_bytes());
  const double bytes = static_cast<double>(plain->rows()) * static_cast<double>(plain->row_bytes());
  read_all(*plain, rows);  // the file is in the page cache from here on
  // The ways take turns, so that what else the machine does hits both.
  std::vector<double> without, with, alone;
  std::uint64_t sum = 0;
  for (int round = 0; round < kRounds; ++round) {
    without.push_back(read_all(*plain, rows));
    with.push_back(read_all(*compared, rows));
    const double start = seconds_now();
    for (std::int64_t u = 0; u < plain->units(); ++u)
      sum += hash_bytes(rows.data(),
                        static_cast<std::size_t>(plain->unit(u).rows) * plain->row_bytes())
                 .low;
    alone.push_back(seconds_now() - start);
  }
  const Times t{median(without), median(with), median(alone)};
  fmt::print(
      "{}: {:.1f} MB of rows, {}\n  read {:.0f} MB/s, with hashes {:.0f} MB/s\n"
      "  XXH3-128 alone {:.0f} MB/s: {:.2f} % of reading{}\n",
      argv[1], bytes / 1e6, plain->way(), bytes / 1e6 / t.plain, bytes / 1e6 / t.compared,
      bytes / 1e6 / t.hashed, 100 * t.hashed / t.plain, sum == 1 ? " " : "");
  return 0;
}
