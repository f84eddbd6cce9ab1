#include "mpi_call.h"

#include <algorithm>
#include <climits>

#include "lockstep/core/error.h"
#include "mpi_time_limit.h"

namespace lockstep::comm {
namespace {

std::int64_t limit_ = INT_MAX;

// MPI lives from the first communicator to the end of the process.
struct Session {
  explicit Session(double seconds) : seconds_(seconds) {
    const MpiTimeLimit limit("MPI_Init", seconds_);
    int already = 0;
    MPI_Initialized(&already);
    if (!already) {
      int provided = 0;
      check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided),
                "MPI_Init_thread");
      if (provided < MPI_THREAD_FUNNELED) {
        throw UserError(
            "this MPI offers no threads at all (MPI_THREAD_FUNNELED): use another build of it");
      }
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  }
  ~Session() {
    const MpiTimeLimit limit("MPI_Finalize", seconds_);
    if (mpi_runs()) MPI_Finalize();
  }

 private:
  double seconds_;
};

}  // namespace

void check_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw Error(ExitCode::kBug, fmt::format("{} failed: {}", call, text));
}

void start_mpi(double seconds) { static const Session session(seconds); }

bool threads_may_take_turns() {
  int provided = MPI_THREAD_SINGLE;
  MPI_Query_thread(&provided);
  return provided >= MPI_THREAD_SERIALIZED;
}

bool mpi_runs() {
  int started = 0, ended = 0;
  MPI_Initialized(&started);
  MPI_Finalized(&ended);
  return started && !ended;
}

std::int64_t message_limit() { return limit_; }
void set_message_limit(std::int64_t count) { limit_ = std::clamp<std::int64_t>(count, 1, INT_MAX); }

std::vector<Chunk> chunks(std::int64_t count) {
  std::vector<Chunk> pieces;
  for (std::int64_t begin = 0; begin < count; begin += limit_) {
    pieces.push_back({begin, static_cast<int>(std::min(limit_, count - begin))});
  }
  return pieces;
}

}  // namespace lockstep::comm
