#include "lockstep/serve/generate.h"

#include "lockstep/core/error.h"
#include "lockstep/core/log.h"
#include "lockstep/train/checkpoint.h"
#include "lockstep/train/token_model.h"
#include "serve/cached_model.h"
#include "serve/sampler.h"
#include "serve/text_stream.h"
#include "serve/utf8.h"
#include "train/rank_device.h"

namespace lockstep::serve {
namespace {

using Tokens = std::vector<std::int32_t>;

void check_alone(const comm::Communicator& communicator) {
  if (communicator.size() > 1)
    throw UserError(
        "generate works in one process, and {} were started; start it without mpirun or srun, or "
        "on one rank",
        communicator.size());
}

Tokens prompt_tokens(const data::Tokenizer& tokenizer, const GenerateRequest& request,
                     const train::TokenModel& model) {
  Tokens tokens = tokenizer.encode(request.prompt.empty() ? "\n" : request.prompt);
  if (tokens.empty())
    throw UserError("the model has nothing to go on with: give it a --prompt of some words");
  const auto length = static_cast<std::int64_t>(tokens.size());
  if (length > model.context)
    throw UserError("the prompt has {} tokens, and the model sees at most {}; shorten it", length,
                    model.context);
  for (const std::int32_t token : tokens) {
    if (token < 0 || token >= model.vocabulary)
      throw UserError(
          "the prompt has a token (number {}) that the model does not know; it knows {}", token,
          model.vocabulary);
  }
  return tokens;
}

void print(std::FILE* out, const std::string& text) {
  if (text.empty()) return;
  if (std::fwrite(text.data(), 1, text.size(), out) != text.size() || std::fflush(out) != 0)
    throw UserError("the text could not be written");
}

void load(comm::Communicator& communicator, const std::filesystem::path& checkpoint,
          CachedModel& model) {
  train::State state{&model.table(), {{"parameters", model.parameters()}}, {}};
  train::read_checkpoint(communicator, checkpoint, state, train::ReadScope::kListed);
  model.ready();
}

}  // namespace

void run_generation(comm::Communicator& communicator, const train::Run& run,
                    const GenerateRequest& request, std::FILE* out) {
  check_alone(communicator);
  Sampler sampler(request.sampling);
  const train::RankDevice device(communicator, run);
  const train::TokenModel described =
      train::read_token_model(run, request.checkpoint, device.get());
  const auto tokenizer = data::make_tokenizer(described.tokenizer);
  const Tokens prompt = prompt_tokens(*tokenizer, request, described);
  CachedModel model(device.get(), described.layers, described.outputs, described.context,
                    described.precision);
  load(communicator, request.checkpoint, model);

  TextStream text(*tokenizer, prompt);
  std::string last = request.echo ? utf8_cleaned(request.prompt) : "";
  print(out, last);
  std::span<const float> logits = model.read(prompt);
  std::int64_t made = 0;
  while (true) {
    // Outputs beyond the vocabulary are no tokens.
    const std::int32_t token =
        sampler.pick(logits.first(static_cast<std::size_t>(described.vocabulary)), made++);
    const std::string part = text.push(token);
    print(out, part);
    if (!part.empty()) last = part;
    if (made == request.tokens || model.position() == model.context()) break;
    logits = model.read({&token, 1});
  }
  const std::string rest = text.finish();
  if (!rest.empty()) last = rest;
  print(out, last.ends_with('\n') ? rest : rest + "\n");
  if (made < request.tokens)
    log::warn("stopped after {} of {} tokens: with the prompt they fill the {} that the model sees",
              made, request.tokens, model.context());
}

}  // namespace lockstep::serve
