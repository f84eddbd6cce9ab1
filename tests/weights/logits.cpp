// Prints the logits of a checkpoint of a token model: logits CHECKPOINT TOKEN..., one line
// for each token, the numbers after it.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "lockstep/config/run.h"
#include "lockstep/core/error.h"
#include "lockstep/core/isa.h"
#include "lockstep/train/checkpoint.h"
#include "lockstep/train/token_model.h"
#include "serve/cached_model.h"

namespace lockstep {
namespace {

int print_logits(const std::string& checkpoint, const std::vector<std::int32_t>& tokens) {
  set_float_environment();
  const auto communicator = comm::make_communicator({});
  const train::Run run =
      config::parse_run(train::read_checkpoint_text(checkpoint).resolved_run, checkpoint, {});
  const train::TokenModel described = train::read_token_model(run, checkpoint, cpu_device());
  serve::CachedModel model(cpu_device(), described.layers, described.outputs, described.context,
                           described.precision);
  train::State state{&model.table(), {{"parameters", model.parameters()}}, {}};
  train::read_checkpoint(*communicator, checkpoint, state, train::ReadScope::kListed);
  model.ready();
  for (const std::int32_t token : tokens) {
    for (const float logit : model.read({&token, 1})) std::printf("%.9g ", logit);
    std::printf("\n");
  }
  return 0;
}

}  // namespace
}  // namespace lockstep

int main(int argc, char** argv) {
  std::vector<std::int32_t> tokens;
  for (int i = 2; i < argc; ++i) tokens.push_back(std::atoi(argv[i]));
  try {
    return lockstep::print_logits(argv[1], tokens);
  } catch (const lockstep::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return static_cast<int>(e.code());
  }
}
