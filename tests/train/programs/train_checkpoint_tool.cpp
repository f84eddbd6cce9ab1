// train_checkpoint_tool save DIR STEP [LIMIT_RANK]: every rank saves its share; rank LIMIT_RANK may
//   not write a file beyond 100,000 bytes, as if the disk had filled up for it.
// train_checkpoint_tool save-cut DIR STEP: the blocks of "optimizer/m" are dealt over the ranks,
// and
//   rank 1 holds "optimizer/v" alone; what a rank does not hold is nonsense there.
// train_checkpoint_tool save-beside DIR STEP [LIMIT_RANK]: the same, while the state changes, which
//   the saved file must not show.
// train_checkpoint_tool restore DIR: the newest sound checkpoint, compared with what was saved.
// train_checkpoint_tool load FILE: every rank reads all and compares with what was saved.
// Rank 0 prints the digest, or "exit CODE: " and the sentence of the error, if all ranks agree. The
// program itself exits with 0: mpirun takes a second to end a job that does not.
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "lockstep/core/error.h"
#include "train/checkpointer.h"
#include "train/train_state.h"

namespace {

using namespace lockstep;
using namespace lockstep::train;

void limit_files(const comm::Communicator& c, char** argv, int arguments) {
  if (arguments <= 4 || c.rank() != std::atoi(argv[4])) return;
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{100000, 100000};
  setrlimit(RLIMIT_FSIZE, &limit);
}

Hash128 save(comm::Communicator& c, char** argv, int arguments) {
  limit_files(c, argv, arguments);
  const TestState s(std::atoll(argv[3]));
  Hash128 digest;
  write_checkpoint(c, argv[2], s.state, TestState::text(), 3, false, &digest);
  return digest;
}

Hash128 save_beside(comm::Communicator& c, char** argv, int arguments) {
  limit_files(c, argv, arguments);
  TestState s(std::atoll(argv[3]));
  Checkpointer saver(c, {argv[2], 3, true}, s.state);
  saver.begin(s.state, TestState::text(), {});
  for (int step = 0;; ++step) {
    for (auto& values : s.data) std::fill(values.begin(), values.end(), static_cast<float>(step));
    c.barrier();
    if (const auto saved = step < 3 ? saver.advance() : saver.finish()) return saved->digest;
  }
}

Hash128 save_cut(comm::Communicator& c, char** argv) {
  TestState s(std::atoll(argv[3]));
  const int position = c.topology().position;
  const auto& blocks = s.table.blocks();
  std::vector<int> dealt, alone(blocks.size(), 1);
  for (std::size_t b = 0; b < blocks.size(); ++b) dealt.push_back(static_cast<int>(b) % c.size());
  s.state.tensors[1].holders = &dealt;
  s.state.tensors[2].holders = &alone;
  for (const int t : {1, 2}) {
    const std::vector<int>& holders = *s.state.tensors[t].holders;
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      if (holders[b] != position)
        std::fill_n(s.data[t].begin() + blocks[b].begin, blocks[b].elements, -9e9f);
    }
  }
  Hash128 digest;
  write_checkpoint(c, argv[2], s.state, TestState::text(), 3, false, &digest);
  return digest;
}

Hash128 compare(comm::Communicator& c, const TestState& s) {
  const TestState expected(s.state.progress.integers.at("step"));
  c.together([&] {
    for (std::size_t t = 0; t < s.data.size(); ++t) {
      if (std::memcmp(s.data[t].data(), expected.data[t].data(), 4 * s.data[t].size()) != 0) {
        throw DataError("rank {} read other numbers of {}", c.rank(), s.names[t]);
      }
    }
  });
  return digest(c, s.state);
}

Hash128 load(comm::Communicator& c, const char* file) {
  TestState s(-1);
  read_checkpoint(c, file, s.state);
  return compare(c, s);
}

Hash128 restore(comm::Communicator& c, const char* dir) {
  TestState s(-1);
  read_newest_checkpoint(c, dir, s.state);
  return compare(c, s);
}

}  // namespace

int main(int arguments, char** argv) {
  const auto c = comm::make_communicator({});
  std::string said;
  try {
    const std::string verb = argv[1];
    const Hash128 digest = verb == "save"          ? save(*c, argv, arguments)
                           : verb == "save-beside" ? save_beside(*c, argv, arguments)
                           : verb == "save-cut"    ? save_cut(*c, argv)
                           : verb == "restore"     ? restore(*c, argv[2])
                                                   : load(*c, argv[2]);
    said = digest.text();
  } catch (const Error& error) {
    said = fmt::format("exit {}: {}", static_cast<int>(error.code()), error.what());
  }
  const std::vector<std::byte> all = c->gather_all(std::as_bytes(std::span(said)));
  bool agree = all.size() == said.size() * c->size();
  for (std::size_t i = 0; agree && i < all.size(); ++i) {
    agree = static_cast<char>(all[i]) == said[i % said.size()];
  }
  if (c->rank() == 0) std::printf("%s\n", agree ? said.c_str() : "the ranks do not agree");
  return 0;
}
