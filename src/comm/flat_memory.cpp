#include "flat_memory.h"

#include <sys/mman.h>

#include <algorithm>

#include "lockstep/core/error.h"
#include "mpi_communicator.h"

namespace lockstep::comm {
namespace {

constexpr std::int64_t kPageBytes = kPage;

std::int64_t flags_begin(const FlatPlan& plan) {
  return static_cast<std::int64_t>(plan.flat_bytes() + 2 * plan.place_bytes());
}

// Ascending.
void append(std::vector<ByteRange>& pages, const ByteRange& range) {
  if (!pages.empty() && range.begin <= pages.back().end) {
    pages.back().end = std::max(pages.back().end, range.end);
  } else {
    pages.push_back(range);
  }
}

// The whole pages of ascending ranges of elements.
std::vector<ByteRange> pages_of(const std::vector<Range>& held) {
  std::vector<ByteRange> pages;
  for (const Range& range : held) {
    constexpr auto kBytes = static_cast<std::int64_t>(sizeof(float));
    append(pages, {range.begin * kBytes / kPageBytes * kPageBytes,
                   (range.end * kBytes + kPageBytes - 1) / kPageBytes * kPageBytes});
  }
  return pages;
}

}  // namespace

std::vector<ByteRange> resident_pages(const FlatPlan& plan) { return pages_of(plan.held); }

std::vector<ByteRange> node_pages(const FlatPlan& plan) {
  const auto flat = static_cast<std::int64_t>(plan.flat_bytes());
  const std::vector<ByteRange> held =
      plan.whole ? std::vector<ByteRange>{{0, flat}} : pages_of(plan.held_on_node);
  std::vector<ByteRange> pages;
  for (const ByteRange& range : held) append(pages, range);
  if (plan.place_bytes() > 0) append(pages, {flat, flags_begin(plan)});
  return pages;
}

ByteRange gathered_pages(const FlatPlan& plan) {
  const auto begin = static_cast<std::int64_t>(plan.flat_bytes());
  const auto count = static_cast<std::int64_t>(2 * plan.place_bytes()) / kPageBytes;
  const auto cut = [&](int local) { return begin + count * local / plan.locals() * kPageBytes; };
  return {cut(plan.topology.local()), cut(plan.topology.local() + 1)};
}

ByteRange flag_pages(const FlatPlan& plan, int local) {
  const std::size_t flags = 2 + plan.buckets.size();
  const auto bytes = static_cast<std::int64_t>(round_up(flags * sizeof(Flag), kPage));
  return {flags_begin(plan) + local * bytes, flags_begin(plan) + (local + 1) * bytes};
}

Pages map_flat(Communicator& communicator, const FlatPlan& plan, bool alone) {
  const std::int64_t bytes = flag_pages(plan, plan.locals() - 1).end;
  Pages pages;
  if (alone || plan.locals() == 1) {
    pages = Pages(static_cast<std::size_t>(bytes));
  } else {
    auto* const mpi = dynamic_cast<MpiCommunicator*>(&communicator);
    LOCKSTEP_CHECK(mpi != nullptr, "{} ranks without MPI", plan.locals());
    std::vector<ByteRange> mine = resident_pages(plan);
    mine.push_back(gathered_pages(plan));
    mine.push_back(flag_pages(plan, plan.topology.local()));
    pages = make_shared_pages(*mpi, bytes, mine, "the parameters");
  }
  // Shards are runs of a few blocks: huge pages would hold their neighbours too.
  if (!plan.whole) ::madvise(pages.data(), pages.bytes(), MADV_NOHUGEPAGE);
  return pages;
}

}  // namespace lockstep::comm
