#include "selected_rows.h"

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <tuple>

#include "lockstep/core/error.h"
#include "lockstep/core/philox.h"

namespace lockstep::data {
namespace {

// The stream of numbers that chooses the splits, as in import; epochs never reach it.
constexpr std::uint64_t kSplitStream = std::numeric_limits<std::uint64_t>::max() - 1;

using Rows = std::vector<std::uint32_t>;

// As long as somebody reads them.
std::shared_ptr<const Rows> shared_rows(const Selection& s) {
  static std::mutex mutex;
  static std::map<std::tuple<std::int64_t, std::uint64_t, std::int64_t, std::int64_t>,
                  std::weak_ptr<const Rows>>
      all;
  const std::scoped_lock lock(mutex);
  std::erase_if(all, [](const auto& known) { return known.second.expired(); });
  auto& known = all[{s.of, s.seed, s.begin, s.end}];
  auto rows = known.lock();
  if (!rows) known = rows = std::make_shared<const Rows>(selected_rows(s));
  return rows;
}

}  // namespace

Rows selected_rows(const Selection& s) {
  if (s.of > std::numeric_limits<std::uint32_t>::max())
    throw UserError("{} samples are too many to be split by fractions; split them by files", s.of);
  LOCKSTEP_CHECK(0 <= s.begin && s.begin <= s.end && s.end <= s.of, "places {} to {} of {}",
                 s.begin, s.end, s.of);
  Rows rows(static_cast<std::size_t>(s.of));
  permutation(s.seed, kSplitStream, 0, 0, static_cast<std::uint32_t>(s.of), rows.data());
  rows = Rows(rows.begin() + s.begin, rows.begin() + s.end);
  std::sort(rows.begin(), rows.end());
  return rows;
}

SelectedRows::SelectedRows(std::unique_ptr<const RowSource> all, const Selection& selection,
                           std::size_t row_bytes)
    : all_(std::move(all)), rows_(shared_rows(selection)), row_bytes_(row_bytes) {}

std::int64_t SelectedRows::read(std::int64_t first, std::int64_t count, std::byte* out,
                                KeptUnit& kept) const {
  const Rows& rows = *rows_;
  const auto end = static_cast<std::size_t>(first + count);
  LOCKSTEP_CHECK(first >= 0 && end <= rows.size(), "rows {}+{} of {}", first, count, rows.size());
  std::int64_t bytes = 0;
  for (auto at = static_cast<std::size_t>(first); at < end;) {
    std::size_t next = at + 1;
    while (next < end && rows[next] == rows[next - 1] + 1) ++next;
    const auto together = static_cast<std::int64_t>(next - at);
    bytes += all_->read(rows[at], together, out, kept);
    out += static_cast<std::size_t>(together) * row_bytes_;
    at = next;
  }
  return bytes;
}

std::string SelectedRows::place(std::int64_t row, std::int64_t element) const {
  return all_->place((*rows_)[static_cast<std::size_t>(row)], element);
}

}  // namespace lockstep::data
