#include "statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "elements.h"
#include "field_reader.h"
#include "scan.h"

namespace lockstep::data {

void Statistics::add(DType dtype, const std::byte* elements, std::int64_t count) {
  if (count == 0) return;
  values_.resize(static_cast<std::size_t>(count));
  to_doubles(dtype, elements, count, values_.data());
  double sum = 0;
  for (double v : values_) sum += v;
  const double mean = sum / static_cast<double>(count);
  double squares = 0;
  for (double v : values_) squares += (v - mean) * (v - mean);
  const auto [low, high] = std::minmax_element(values_.begin(), values_.end());
  minimum_ = count_ == 0 ? *low : std::min(minimum_, *low);
  maximum_ = count_ == 0 ? *high : std::max(maximum_, *high);
  const double before = static_cast<double>(count_), now = static_cast<double>(count);
  const double distance = mean - mean_;
  count_ += count;
  mean_ += distance * (now / static_cast<double>(count_));
  squares_ += squares + distance * distance * (before * now / static_cast<double>(count_));
}

double Statistics::deviation() const {
  return count_ == 0 ? 0 : std::sqrt(squares_ / static_cast<double>(count_));
}

void Statistics::give_to(Field& field) const {
  field.has_statistics = true;
  field.mean = mean();
  field.deviation = deviation();
  field.minimum = minimum();
  field.maximum = maximum();
}

Statistics read_statistics(const std::shared_ptr<const InputFile>& file, const Field& field) {
  Statistics statistics;
  scan_rows(file, field, [&](std::int64_t, std::int64_t count, const std::byte* rows) {
    statistics.add(field.dtype, rows, count * field.sample.elements());
  });
  return statistics;
}

void find_classes(const std::shared_ptr<const InputFile>& file, Manifest& manifest) {
  std::map<std::string, double> largest;  // by field name, over the splits
  const auto eligible = [](const Field& f) {
    return !is_float(f.dtype) && f.sample.elements() == 1 && f.count > 0;
  };
  for (const Split& split : manifest.splits)
    for (const Field& field : split.fields) {
      if (!eligible(field)) continue;
      const Statistics statistics = read_statistics(file, field);
      // Negative numbers are no classes.
      const double top =
          statistics.minimum() < 0 ? std::numeric_limits<double>::infinity() : statistics.maximum();
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
  if (field.has_statistics) return;
  const std::string found = field.name;
  Field told;  // trivially sent by parts: four numbers
  double numbers[4] = {};
  communicator.together([&] {
    if (communicator.rank() != 0) return;
    read_statistics(std::make_shared<const InputFile>(manifest.file), field).give_to(told);
    numbers[0] = told.mean, numbers[1] = told.deviation;
    numbers[2] = told.minimum, numbers[3] = told.maximum;
  });
  communicator.broadcast(std::as_writable_bytes(std::span(numbers)), 0);
  for (Split& s : manifest.splits)
    for (Field& f : s.fields) {
      if (f.name != found) continue;
      f.has_statistics = true;
      f.mean = numbers[0], f.deviation = numbers[1];
      f.minimum = numbers[2], f.maximum = numbers[3];
    }
}

}  // namespace lockstep::data
