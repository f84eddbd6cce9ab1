#include "mpi_communicator.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <exception>
#include <limits>
#include <map>

#include "lockstep/core/error.h"
#include "lockstep/core/events.h"
#include "lockstep/core/log.h"
#include "mpi_call.h"
#include "shared_window.h"
#include "spare_cores.h"
#include "together.h"
#include "topology.h"

namespace lockstep::comm {
namespace {

constexpr int kGatherTag = 16385;  // of no fold's message, which may come over the same ranks

}  // namespace

MpiCommunicator::MpiCommunicator(const CommOptions& options)
    : MpiCommunicator(MPI_COMM_WORLD, options) {
  log::set_speaker(rank_ == 0);
}

MpiCommunicator::MpiCommunicator(MPI_Comm base, const CommOptions& options) : options_(options) {
  check_mpi(MPI_Comm_dup(base, &world_), "MPI_Comm_dup");
  check_mpi(MPI_Comm_dup(base, &probes_), "MPI_Comm_dup");
  MPI_Comm_rank(world_, &rank_);
  MPI_Comm_size(world_, &size_);
  find_topology();

  Watchdog::Setting setting;
  setting.limit_seconds = options.watchdog_seconds;
  setting.probes = probes_;
  setting.rank = rank_;
  setting.hosts = hosts_;
  for (int l = 0; l < topology_.local_ranks(); ++l) {
    setting.local_ranks.push_back(topology_.rank_at[topology_.node_begin[topology_.node()] + l]);
  }
  try {
    setting.page = make_window(sizeof(ControlBlock), "the ranks' control page");
  } catch (const UserError&) {
    // Without a shared page the ranks of this node are probed by messages, like those of others.
  }
  watchdog_ = std::make_unique<Watchdog>(std::move(setting));
  if (wants_progress_thread(options)) progress_thread_ = std::make_unique<ProgressThread>();
}

// All ranks say the same.
bool MpiCommunicator::wants_progress_thread(const CommOptions& options) {
  const bool forced = progress_threads_forced();
  if (size_ == 1 || (options.progress == ProgressBy::kCalls && !forced)) return false;
  if (options.progress == ProgressBy::kAuto && !forced) {
    if (topology_.nodes() == 1) return false;
    const CoreShare mine = local_core_share(options.threads);
    std::vector<CoreShare> all(size_);
    check_mpi(
        MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all.data(), sizeof mine, MPI_BYTE, world_),
        "MPI_Allgather");
    std::map<std::string, std::vector<CoreShare>> machines;  // pretended nodes share one
    for (int r = 0; r < size_; ++r) machines[hosts_[r]].push_back(all[r]);
    if (!std::ranges::all_of(machines, [](const auto& m) { return spare_a_core_each(m.second); }))
      return false;
  }
  if (min(threads_may_take_turns() ? 1 : 0) == 1) return true;
  log::warn(
      "this MPI does not let threads take turns (MPI_THREAD_SERIALIZED): messages move when ranks "
      "call it, without a thread of their own");
  return false;
}

MpiCommunicator::~MpiCommunicator() {
  progress_thread_.reset();
  // After an error on this rank alone its peers may be anywhere: MPI_Comm_free would wait for them.
  if (std::uncaught_exceptions() > 0 || !mpi_runs()) return;
  for (MPI_Comm* communicator : {&node_, &probes_, &world_}) {
    if (*communicator != MPI_COMM_NULL) MPI_Comm_free(communicator);
  }
}

// The ranks that can share memory, and of these the ones that do not pretend otherwise.
void MpiCommunicator::find_topology() {
  check_mpi(MPI_Comm_split_type(world_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &node_),
            "MPI_Comm_split_type");
  int lowest = rank_;
  check_mpi(MPI_Bcast(&lowest, 1, MPI_INT, 0, node_), "MPI_Bcast");
  std::vector<int> node_of_rank(size_);
  check_mpi(MPI_Allgather(&lowest, 1, MPI_INT, node_of_rank.data(), 1, MPI_INT, world_),
            "MPI_Allgather");
  if (!options_.pretend_nodes.empty()) {
    const auto pretended = parse_pretended_nodes(options_.pretend_nodes, size_);
    for (int a = 0; a < size_; ++a) {
      for (int b = 0; b < a; ++b) {
        if (pretended[a] == pretended[b] && node_of_rank[a] != node_of_rank[b]) {
          throw UserError(
              "parallel.pretend_nodes = \"{}\" puts ranks {} and {} on one node, but they run on "
              "different ones: it can only divide nodes, not join them",
              options_.pretend_nodes, b, a);
        }
      }
    }
    MPI_Comm_free(&node_);
    check_mpi(MPI_Comm_split(world_, pretended[rank_], rank_, &node_), "MPI_Comm_split");
    node_of_rank = pretended;
  }
  topology_ = make_topology(node_of_rank, rank_);

  char name[MPI_MAX_PROCESSOR_NAME] = "";
  int length = 0;
  MPI_Get_processor_name(name, &length);
  std::vector<char> names(static_cast<std::size_t>(size_) * sizeof name);
  check_mpi(MPI_Allgather(name, sizeof name, MPI_CHAR, names.data(), sizeof name, MPI_CHAR, world_),
            "MPI_Allgather");
  for (int r = 0; r < size_; ++r) hosts_.emplace_back(names.data() + r * sizeof name);
}

double MpiCommunicator::wait(const Awaited& awaited, const std::function<bool()>& ready) {
  const Presence presence(progress_thread());
  if (ready()) return 0;
  const events::Span span(events::Kind::kWait, awaited.what,
                          {.step = awaited.step, .number = awaited.number});
  return spin_until([&] { return ready(); },
                    [&](double waited) {
                      serve_peers();
                      if (watchdog_) watchdog_->waiting(awaited, waited);
                    });
}

void MpiCommunicator::complete(MPI_Request request, const char* what) {
  wait({what, -1, watchdog_ ? watchdog_->step() : -1}, [&] {
    int done = 0;
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), what);
    return done != 0;
  });
}

void MpiCommunicator::barrier() {
  const Presence presence(progress_thread());
  MPI_Request request;
  check_mpi(MPI_Ibarrier(world_, &request), "MPI_Ibarrier");
  complete(request, "a barrier");
}

void MpiCommunicator::broadcast(std::span<std::byte> bytes, int root_rank) {
  broadcast_over(world_, bytes, root_rank, "a broadcast");
}

void MpiCommunicator::node_broadcast(std::span<std::byte> bytes) {
  broadcast_over(node_, bytes, 0, "the first rank of this node");
}

void MpiCommunicator::broadcast_over(MPI_Comm communicator, std::span<std::byte> bytes, int root,
                                     const char* what) {
  const Presence presence(progress_thread());
  for (const Chunk& chunk : chunks(static_cast<std::int64_t>(bytes.size()))) {
    MPI_Request request;
    check_mpi(
        MPI_Ibcast(bytes.data() + chunk.begin, chunk.count, MPI_BYTE, root, communicator, &request),
        "MPI_Ibcast");
    complete(request, what);
  }
}

std::vector<std::byte> MpiCommunicator::gather_all(std::span<const std::byte> mine) {
  const Presence presence(progress_thread());
  const auto my_size = static_cast<std::int64_t>(mine.size());
  std::vector<std::int64_t> sizes(size_);
  MPI_Request request;
  check_mpi(
      MPI_Iallgather(&my_size, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, world_, &request),
      "MPI_Iallgather");
  complete(request, "a gathering of sizes");

  std::vector<std::int64_t> begin(size_);  // by rank, in order of position
  std::int64_t total = 0;
  for (const int r : topology_.rank_at) {
    begin[r] = total;
    total += sizes[r];
  }
  std::vector<std::byte> all(total);
  if (total > message_limit()) {
    std::copy(mine.begin(), mine.end(), all.begin() + begin[rank_]);
    for (int r = 0; r < size_; ++r) broadcast(std::span(all).subspan(begin[r], sizes[r]), r);
    return all;
  }
  const std::vector<int> counts(sizes.begin(), sizes.end());
  const std::vector<int> displacements(begin.begin(), begin.end());
  check_mpi(MPI_Iallgatherv(mine.data(), static_cast<int>(my_size), MPI_BYTE, all.data(),
                            counts.data(), displacements.data(), MPI_BYTE, world_, &request),
            "MPI_Iallgatherv");
  complete(request, "a gathering");
  return all;
}

void MpiCommunicator::gather(std::span<const std::byte> mine, int root_rank,
                             const std::function<void(int, std::span<const std::byte>)>& visit) {
  const Presence presence(progress_thread());
  const auto my_size = static_cast<std::int64_t>(mine.size());
  std::vector<std::int64_t> sizes(size_);
  MPI_Request request;
  check_mpi(
      MPI_Iallgather(&my_size, 1, MPI_INT64_T, sizes.data(), 1, MPI_INT64_T, world_, &request),
      "MPI_Iallgather");
  complete(request, "a gathering of sizes");
  if (rank_ != root_rank) {
    for (const Chunk& chunk : chunks(my_size)) {
      check_mpi(MPI_Isend(mine.data() + chunk.begin, chunk.count, MPI_BYTE, root_rank, kGatherTag,
                          world_, &request),
                "MPI_Isend");
      complete(request, "the rank that gathers");
    }
    return;
  }
  std::vector<std::byte> message;
  std::exception_ptr error;
  for (int position = 0; position < size_; ++position) {
    const int r = topology_.rank_at[position];
    std::span<const std::byte> bytes = mine;
    if (r != rank_) {
      message.resize(sizes[r]);
      for (const Chunk& chunk : chunks(sizes[r])) {
        check_mpi(MPI_Irecv(message.data() + chunk.begin, chunk.count, MPI_BYTE, r, kGatherTag,
                            world_, &request),
                  "MPI_Irecv");
        complete(request, "what is gathered");
      }
      bytes = message;
    }
    if (error) continue;
    try {
      visit(position, bytes);
    } catch (...) {
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

std::int64_t MpiCommunicator::reduce(std::int64_t value, MPI_Op op, const char* what) {
  const Presence presence(progress_thread());
  std::int64_t result = 0;
  MPI_Request request;
  check_mpi(MPI_Iallreduce(&value, &result, 1, MPI_INT64_T, op, world_, &request),
            "MPI_Iallreduce");
  complete(request, what);
  return result;
}

std::int64_t MpiCommunicator::min(std::int64_t value) {
  return reduce(value, MPI_MIN, "a minimum");
}
std::int64_t MpiCommunicator::max(std::int64_t value) {
  return reduce(value, MPI_MAX, "a maximum");
}

std::vector<std::int64_t> MpiCommunicator::node_gather(std::int64_t mine) {
  const Presence presence(progress_thread());
  std::vector<std::int64_t> all(topology_.local_ranks());
  MPI_Request request;
  check_mpi(MPI_Iallgather(&mine, 1, MPI_INT64_T, all.data(), 1, MPI_INT64_T, node_, &request),
            "MPI_Iallgather");
  complete(request, "the ranks of this node");
  return all;
}

std::unique_ptr<SharedWindow> MpiCommunicator::make_window(std::size_t bytes,
                                                           const std::string& purpose) {
  const Presence presence(progress_thread());
  if (topology_.local_ranks() == 1) return std::make_unique<PrivateWindow>(bytes);
  return make_shared_window(*this, bytes, purpose);
}

// Ranks in order of their positions here, so that topologies agree.
std::unique_ptr<Communicator> MpiCommunicator::part(int positions) {
  const Presence presence(progress_thread());
  const bool member = topology_.position < positions;
  MPI_Comm split = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(world_, member ? 0 : MPI_UNDEFINED, topology_.position, &split),
            "MPI_Comm_split");
  if (!member) return nullptr;
  CommOptions options = options_;
  if (!options.pretend_nodes.empty()) {
    options.pretend_nodes.clear();
    for (int p = 0; p < std::min(positions, size_); ++p)
      options.pretend_nodes += fmt::format("{}{}", p == 0 ? "" : ",", topology_.node_of[p]);
  }
  std::unique_ptr<MpiCommunicator> made(new MpiCommunicator(split, options));
  MPI_Comm_free(&split);
  return made;
}

void MpiCommunicator::together(const std::function<void()>& body) {
  const Failure mine = run(body);
  constexpr std::int64_t kNobody = std::numeric_limits<std::int64_t>::max();
  const std::int64_t first = min(mine.failed() ? topology_.position : kNobody);
  if (first == kNobody) return;
  if (first == topology_.position) {
    int code = static_cast<int>(mine.code);
    broadcast_value(*this, code, rank_);
    broadcast_text(*this, mine.sentence, rank_);
    std::rethrow_exception(mine.error);
  }
  const int root = topology_.rank_at[first];
  int code = 0;
  broadcast_value(*this, code, root);
  throw_again(static_cast<ExitCode>(code), broadcast_text(*this, "", root));
}

void MpiCommunicator::set_activity(const char* what, std::int64_t step) {
  watchdog_->set_activity(what, step);
  events::set_activity(what, step);
}

}  // namespace lockstep::comm
