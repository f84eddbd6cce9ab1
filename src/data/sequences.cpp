#include <algorithm>

#include "lockstep/core/error.h"
#include "lockstep/data/dataset.h"

namespace lockstep::data {

void cut_sequences(Manifest& manifest, std::int64_t sequence) {
  if (sequence < 1)
    throw UserError("a sequence of {} tokens cannot be; set data.sequence to at least 1", sequence);
  for (Split& split : manifest.splits) {
    const auto stream = std::find_if(split.fields.begin(), split.fields.end(),
                                     [](const Field& f) { return f.role == "tokens"; });
    if (stream == split.fields.end()) continue;
    // Each token but the first is a target, and each but the last an input.
    if (stream->count <= sequence)
      throw UserError(
          "{}: split \"{}\" has {} tokens, too few for one sequence of {} and the token after it; "
          "set data.sequence to at most {}, or give more text",
          manifest.name(), split.name, stream->count, sequence,
          std::max<std::int64_t>(stream->count - 1, 0));
    Field input = *stream;
    input.sample = {sequence};
    input.count = (stream->count - 1) / sequence;
    input.sequence = sequence;
    // The order permutes chunks of whole sequences, which need not end where the file's chunks do.
    if (stream->chunk > 0) input.chunk = std::max<std::int64_t>(stream->chunk / sequence, 1);
    input.figures = input.reference = {};  // token numbers are no quantity
    Field target = input;
    input.name = "tokens", input.role = "input";
    target.name = "next_tokens", target.role = "target", target.shift = 1;
    split.samples = input.count;
    split.fields = {std::move(input), std::move(target)};
  }
}

}  // namespace lockstep::data
