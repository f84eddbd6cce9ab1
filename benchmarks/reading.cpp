// Reads a dataset file to its end in one way and prints "seconds bytes samples": for reading.py.
//
//   bench_reading pread FILE               all bytes of the file, in order, 1 MiB at once
//   bench_reading hdf5 FILE FIELD          plain H5Dread, 16 MiB of rows at once, in order
//   bench_reading rows FILE FIELD          Lockstep's reader of a field, unit by unit, in order
//   bench_reading loader FILE THREADS N    epoch N of Lockstep's Loader, shuffled, converted; no
//   model bench_reading open FILE                what the first rank does before the first sample
//   bench_reading order FILE COUNT         the first rows of that epoch, one a line
#include <fcntl.h>
#include <fmt/format.h>
#include <hdf5.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <span>
#include <string>
#include <vector>

#include "data/row_source.h"
#include "lockstep/core/clock.h"
#include "lockstep/core/error.h"
#include "lockstep/data/loader.h"

namespace {

using namespace lockstep;

struct Result {
  double seconds = 0;
  std::int64_t bytes = 0, samples = 0;
};

Result by_pread(const char* file) {
  const int descriptor = ::open(file, O_RDONLY | O_CLOEXEC);
  LOCKSTEP_CHECK(descriptor >= 0, "{}", file);
  std::vector<std::byte> block(1 << 20);
  Result result;
  const double start = seconds_now();
  while (true) {
    const ssize_t n = ::pread(descriptor, block.data(), block.size(), result.bytes);
    if (n <= 0) break;
    result.bytes += n;
  }
  result.seconds = seconds_now() - start;
  ::close(descriptor);
  return result;
}

Result by_hdf5(const char* name, const char* field) {
  const hid_t file = H5Fopen(name, H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t dataset = H5Dopen2(file, ("/train/" + std::string(field)).c_str(), H5P_DEFAULT);
  LOCKSTEP_CHECK(dataset >= 0, "{} {}", name, field);
  const hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
  std::array<hsize_t, H5S_MAX_RANK> extents{}, start{}, count{};
  const int rank = H5Sget_simple_extent_dims(space, extents.data(), nullptr);
  std::size_t row = H5Tget_size(type);
  for (int i = 1; i < rank; ++i) row *= extents[i];
  count = extents;
  const hsize_t most = std::max<hsize_t>((16 << 20) / row / 16 * 16, 1);
  std::vector<std::byte> rows(most * row);
  Result result;
  const double begin = seconds_now();
  for (; start[0] < extents[0]; start[0] += most) {
    count[0] = std::min(most, extents[0] - start[0]);
    H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr);
    const hid_t memory = H5Screate_simple(rank, count.data(), nullptr);
    LOCKSTEP_CHECK(H5Dread(dataset, type, memory, space, H5P_DEFAULT, rows.data()) >= 0, "{}",
                   name);
    H5Sclose(memory);
    result.bytes += static_cast<std::int64_t>(count[0] * row);
    result.samples += static_cast<std::int64_t>(count[0]);
  }
  result.seconds = seconds_now() - begin;
  return result;
}

Result by_rows(const data::Manifest& manifest, const char* name) {
  const data::Split& split = *manifest.find("train");
  const auto units = data::open_units(manifest, split, *split.find(name));
  std::vector<std::byte> rows;
  Result result;
  const double start = seconds_now();
  for (std::int64_t u = 0; u < units->units(); ++u) {
    const auto unit = units->unit(u);
    rows.resize(std::max(rows.size(), static_cast<std::size_t>(unit.rows) * units->row_bytes()));
    units->read_unit(u, rows.data());
    result.samples += unit.rows;
  }
  result.seconds = seconds_now() - start;
  result.bytes = result.samples * static_cast<std::int64_t>(units->row_bytes());
  return result;
}

data::LoaderOptions loader_options(const data::Manifest& manifest) {
  data::LoaderOptions options;
  options.input = data::resolve_field(manifest, "train", "", "input").name;
  options.target = data::resolve_field(manifest, "train", "", "target").name;
  options.classes = 10;
  options.normalise = data::Normalise::kNone;
  options.lanes = 2;
  options.microbatch = 32;
  options.batch = 64;
  return options;
}

Result by_loader(comm::Communicator& self, const data::Manifest& manifest, int threads,
                 std::int64_t epochs) {
  data::LoaderOptions options = loader_options(manifest);
  options.threads = threads;
  const data::Field& in = *manifest.find("train")->find(options.input);
  const auto loader = data::make_loader(self, manifest, options);
  const comm::LaneRange lanes[] = {{0, options.lanes}};
  std::vector<float> input(static_cast<std::size_t>(options.microbatch * in.sample.elements()));
  std::vector<std::int32_t> labels(static_cast<std::size_t>(options.microbatch));
  Result result;
  double start = seconds_now();
  loader->start(lanes, {});
  for (std::int64_t epoch = 0; epoch < epochs; ++epoch) {
    if (epoch > 0) start = seconds_now();
    for (std::int64_t step = 0; step < loader->steps_per_epoch(); ++step)
      for (std::int64_t lane = 0; lane < options.lanes; ++lane)
        loader->fill(lane, {epoch, step}, 0, input.data(), labels.data(), nullptr);
  }
  result.seconds = seconds_now() - start;
  result.samples = loader->steps_per_epoch() * options.batch;
  result.bytes = result.samples * static_cast<std::int64_t>(in.sample_bytes());
  return result;
}

void print_order(const data::Manifest& manifest, std::int64_t count) {
  data::LoaderOptions options = loader_options(manifest);
  const data::Split& split = *manifest.find("train");
  const data::Field &in = *split.find(options.input), &target = *split.find(options.target);
  options.window = data::default_window(in, target, options.microbatch);
  const auto rows = data::lane_order(split.samples, data::order_chunk(in, target), options, 0, 0);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(count, std::ssize(rows)); ++i)
    fmt::print("{}\n", rows[static_cast<std::size_t>(i)]);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<const char*> args(argv + 1, argv + argc);
  LOCKSTEP_CHECK(args.size() >= 2, "see benchmarks/reading.py");
  const std::string way = args[0];
  const auto self = comm::make_self_communicator();
  Result result;
  if (way == "pread") {
    result = by_pread(args[1]);
  } else if (way == "hdf5") {
    result = by_hdf5(args[1], args.at(2));
  } else {
    data::Description description;
    description.path = {args[1]};
    const double start = seconds_now();
    const data::Manifest manifest = data::read_manifest(*self, description);
    if (way == "open") {
      const data::Split& split = manifest.splits.front();
      for (const data::Field& field : split.fields) data::open_units(manifest, split, field);
      result.seconds = seconds_now() - start;
      result.samples = split.samples;
    } else if (way == "order") {
      print_order(manifest, std::atoll(args.at(2)));
      return 0;
    } else if (way == "rows") {
      result = by_rows(manifest, args.at(2));
    } else {
      result = by_loader(*self, manifest, std::atoi(args.at(2)), std::atoll(args.at(3)));
    }
  }
  fmt::print("{} {} {}\n", result.seconds, result.bytes, result.samples);
}
