#include "missing.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "../elements.h"
#include "lockstep/core/error.h"

namespace lockstep::data {
namespace {

constexpr std::int64_t kBlockBytes = 1 << 20;

// Rows of all fields, as a source fills them.
struct Rows {
  Rows(const std::vector<SourceField>& fields, std::int64_t most) : missing(most) {
    for (const SourceField& field : fields) {
      const auto row =
          static_cast<std::size_t>(field.column.sample.elements()) * size_of(field.column.dtype);
      held.emplace_back(static_cast<std::size_t>(most) * row);
    }
    for (auto& rows : held) out.push_back(rows.data());
  }
  void read(Source& source, std::span<const std::int64_t> rows) {
    std::fill(missing.begin(), missing.end(), 0);
    source.read(rows, out, std::span(missing).first(rows.size()));
  }
  std::vector<std::vector<std::byte>> held;
  std::vector<std::byte*> out;
  std::vector<std::uint8_t> missing;
};

void put_number(DType dtype, double value, std::byte* to) {
  if (dtype == DType::kF32) {
    const auto f = static_cast<float>(value);
    std::memcpy(to, &f, sizeof f);
  } else {
    LOCKSTEP_CHECK(dtype == DType::kF64, "no number is put in {}", name_of(dtype));
    std::memcpy(to, &value, sizeof value);
  }
}

class Dropped final : public Source {
 public:
  Dropped(std::unique_ptr<Source> source, Choice kept)
      : source_(std::move(source)), kept_(std::move(kept)) {}
  std::int64_t samples() const override { return kept_.samples(); }
  void read(std::span<const std::int64_t> rows, std::span<std::byte* const> fields,
            std::span<std::uint8_t> missing) override {
    numbers_.clear();
    for (const std::int64_t row : rows) numbers_.push_back(number(row));
    source_->read(numbers_, fields, missing);
  }
  std::string place(std::int64_t row, std::size_t field) override {
    return source_->place(number(row), field);
  }

 private:
  std::int64_t number(std::int64_t row) {
    if (row < taken_ || row >= taken_ + static_cast<std::int64_t>(window_.size())) {
      constexpr std::int64_t kAtOnce = 4096;
      taken_ = row;
      kept_.take(row, std::min(kAtOnce, kept_.samples() - row), window_);
    }
    return window_[static_cast<std::size_t>(row - taken_)];
  }
  std::unique_ptr<Source> source_;
  Choice kept_;
  std::vector<std::int64_t> numbers_, window_;  // window_: of rows from taken_ on
  std::int64_t taken_ = 0;
};

std::int64_t columns_of(const Shape& sample) { return sample.rank() == 1 ? sample[0] : 1; }

// Sum and count of each column of a field, over a block of rows.
void add_block(const SourceField& field, const std::byte* rows, std::int64_t count, double* sums,
               double* counts) {
  const std::int64_t elements = count * field.column.sample.elements(),
                     columns = columns_of(field.column.sample);
  std::vector<double> values(static_cast<std::size_t>(elements));
  to_doubles(field.column.dtype, rows, elements, values.data());
  for (std::int64_t e = 0; e < elements; ++e) {
    const double value = values[static_cast<std::size_t>(e)];
    if (!std::isfinite(value)) continue;
    sums[e % columns] += value;
    counts[e % columns] += 1;
  }
}

}  // namespace

Missing parse_missing(const std::string& text) {
  if (text == "error") return {};
  if (text == "drop") return {Missing::Policy::kDrop, 0, {}};
  if (text == "mean") return {Missing::Policy::kMean, 0, {}};
  double value = 0;
  const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc{} || stop != text.data() + text.size() || !std::isfinite(value))
    throw UserError("--missing is \"{}\"; it must be error, drop, mean or a number", text);
  return {Missing::Policy::kValue, value, {}};
}

std::int64_t rows_at_once(const std::vector<SourceField>& fields, std::int64_t most) {
  std::int64_t row = 0;
  for (const SourceField& field : fields)
    row += field.column.sample.elements() * static_cast<std::int64_t>(size_of(field.column.dtype));
  return std::clamp<std::int64_t>(kBlockBytes / std::max<std::int64_t>(row, 1), 1,
                                  std::max<std::int64_t>(most, 1));
}

std::unique_ptr<Source> drop_missing(comm::Communicator& communicator,
                                     const std::vector<SourceField>& fields,
                                     std::unique_ptr<Source> source) {
  constexpr std::int64_t kBits = 64;
  const std::int64_t samples = source->samples(), words = (samples + kBits - 1) / kBits,
                     ranks = communicator.size(), position = communicator.topology().position;
  const std::int64_t begin = words * position / ranks * kBits,
                     end = std::min(words * (position + 1) / ranks * kBits, samples);
  std::vector<std::uint64_t> bits(
      static_cast<std::size_t>(words * (position + 1) / ranks - words * position / ranks));
  communicator.together([&] {
    const std::int64_t block = rows_at_once(fields, samples);
    Rows rows(fields, block);
    std::vector<std::int64_t> numbers;
    for (std::int64_t first = begin; first < end; first += block) {
      numbers.clear();
      for (std::int64_t row = first; row < std::min(first + block, end); ++row)
        numbers.push_back(row);
      rows.read(*source, numbers);
      for (std::size_t i = 0; i < numbers.size(); ++i) {
        bool whole = rows.missing[i] == 0;
        for (std::size_t f = 0; f < fields.size() && whole; ++f) {
          const Column& column = fields[f].column;
          const std::int64_t elements = column.sample.elements();
          const auto row = static_cast<std::size_t>(elements) * size_of(column.dtype);
          whole = !is_float(column.dtype) ||
                  first_not_finite(column.dtype, rows.out[f] + i * row, elements) == elements;
        }
        const auto at = static_cast<std::uint64_t>(numbers[i] - begin);
        if (whole) bits[at / kBits] |= std::uint64_t{1} << (at % kBits);
      }
    }
  });
  const auto all = communicator.gather_all(std::as_bytes(std::span(bits)));
  std::vector<std::uint64_t> kept(all.size() / sizeof(std::uint64_t));
  std::memcpy(kept.data(), all.data(), all.size());
  Choice choice(std::move(kept));
  if (choice.samples() == 0)
    throw DataError(
        "{}: every sample lacks a number, and --missing drop leaves none; give another "
        "--missing",
        source->place(0, 0));
  return std::make_unique<Dropped>(std::move(source), std::move(choice));
}

void find_means(comm::Communicator& communicator, const std::vector<SourceField>& fields,
                Source& source, const Choice& train, Missing& missing) {
  std::size_t columns = 0;
  for (const SourceField& field : fields)
    columns += static_cast<std::size_t>(columns_of(field.column.sample));
  std::vector<double> sums(columns), counts(columns), sums_of_block(2 * columns);
  const std::int64_t block = rows_at_once(fields, train.samples()), ranks = communicator.size();
  Rows rows(fields, block);
  std::vector<std::int64_t> numbers;
  const std::int64_t blocks = (train.samples() + block - 1) / block;
  for (std::int64_t round = 0; round < blocks; round += ranks) {
    std::fill(sums_of_block.begin(), sums_of_block.end(), 0);
    communicator.together([&] {
      const std::int64_t first = (round + communicator.topology().position) * block;
      if (first >= train.samples()) return;
      train.take(first, std::min(block, train.samples() - first), numbers);
      rows.read(source, numbers);
      std::size_t at = 0;
      for (std::size_t f = 0; f < fields.size(); ++f) {
        if (is_float(fields[f].column.dtype))
          add_block(fields[f], rows.out[f], static_cast<std::int64_t>(numbers.size()),
                    sums_of_block.data() + at, sums_of_block.data() + columns + at);
        at += static_cast<std::size_t>(columns_of(fields[f].column.sample));
      }
    });
    const auto all = communicator.gather_all(std::as_bytes(std::span(sums_of_block)));
    for (std::size_t at = 0; at < all.size(); at += 2 * columns * sizeof(double)) {
      std::memcpy(sums_of_block.data(), all.data() + at, 2 * columns * sizeof(double));
      for (std::size_t c = 0; c < columns; ++c) {
        sums[c] += sums_of_block[c];
        counts[c] += sums_of_block[columns + c];
      }
    }
  }
  std::size_t at = 0;
  for (const SourceField& field : fields) {
    std::vector<double>& means = missing.means.emplace_back();
    for (std::int64_t c = 0; c < columns_of(field.column.sample); ++c, ++at) {
      if (is_float(field.column.dtype) && counts[at] == 0)
        throw DataError("field {} has no number at all to take the mean of ({} {}); leave it out",
                        field.column.name, "element", c);
      means.push_back(sums[at] / counts[at]);
    }
  }
}

void fill_missing(const Missing& missing, const std::vector<SourceField>& fields, Source& source,
                  std::span<const std::int64_t> rows, std::span<std::byte* const> out,
                  std::span<const std::uint8_t> lacking) {
  const bool fills =
      missing.policy == Missing::Policy::kMean || missing.policy == Missing::Policy::kValue;
  for (std::size_t f = 0; f < fields.size(); ++f) {
    const Column& column = fields[f].column;
    const std::int64_t elements = column.sample.elements(),
                       count = elements * static_cast<std::int64_t>(rows.size());
    const auto row_of = [&](std::int64_t e) {
      return rows[static_cast<std::size_t>(e / elements)];
    };
    if (!is_float(column.dtype)) {
      const auto bad = std::find(lacking.begin(), lacking.end(), 1);
      if (bad != lacking.end())
        throw DataError("{} lacks its {}; mend it, or give --missing drop",
                        source.place(rows[static_cast<std::size_t>(bad - lacking.begin())], f),
                        column.name);
      continue;
    }
    std::int64_t e = first_not_finite(column.dtype, out[f], count);
    while (e < count) {
      const bool target = fields[f].role == "target";
      if (!fills || (target && missing.policy == Missing::Policy::kMean))
        throw DataError(
            "{} has no finite number at element {} of {}; mend it, or give --missing {}",
            source.place(row_of(e), f), e % elements, column.name,
            fills ? "drop: the mean of a target is none" : "drop, mean or a number");
      if (column.dtype == DType::kF16)
        throw UserError("{} of type f16 is not filled; convert it, or give --missing drop",
                        column.name);
      const auto size = static_cast<std::int64_t>(size_of(column.dtype));
      const double value =
          missing.policy == Missing::Policy::kValue
              ? missing.value
              : missing.means[f][static_cast<std::size_t>(e % columns_of(column.sample))];
      put_number(column.dtype, value, out[f] + e * size);
      ++e;
      e += first_not_finite(column.dtype, out[f] + e * size, count - e);
    }
  }
}

}  // namespace lockstep::data
