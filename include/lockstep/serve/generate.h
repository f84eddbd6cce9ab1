// Text from a checkpoint of a token model, token by token. One process; knows no dataset and no
// command line.
#pragma once
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

#include "lockstep/comm/communicator.h"
#include "lockstep/train/run.h"

namespace lockstep::serve {

// How the next token is drawn from the model's probabilities.
struct Sampling {
  double temperature = 1;  // divides the logits; 0: always the most probable token
  std::int64_t top_k = 0;  // only the k most probable tokens; 0: all
  double top_p = 1;        // of those, the fewest that hold this probability (Holtzman et al. 2020)
  std::uint64_t seed = 1;  // the same seed and prompt give the same text
};

struct GenerateRequest {
  std::filesystem::path checkpoint;
  std::string prompt;         // empty: the model begins as after a line's end
  std::int64_t tokens = 200;  // at most so many
  Sampling sampling;
  bool echo = true;  // the prompt is printed before the text that goes on with it
};

// Prints to `out` as the text comes, whole characters at a time, and says on stderr if the model's
// context is full before all tokens are there. run: the one stored in the checkpoint. Throws
// UserError for more than one rank, a model that cannot generate, a prompt that does not fit its
// context or holds tokens that it does not know, sampling out of range.
void run_generation(comm::Communicator& communicator, const train::Run& run,
                    const GenerateRequest& request, std::FILE* out);

}  // namespace lockstep::serve
