#include "train/save_policy.h"

#include <charconv>

#include "lockstep/core/error.h"

namespace lockstep::train {

SavePolicy::SavePolicy(const std::string& every) {
  if (every == "end") return;
  std::int64_t number = 0;
  const auto [rest, error] = std::from_chars(every.data(), every.data() + every.size(), number);
  const std::string unit(rest, every.data() + every.size());
  if (error == std::errc() && number > 0) {
    if (unit == "s") seconds_ = static_cast<double>(number);
    if (unit == "min") seconds_ = 60.0 * static_cast<double>(number);
    if (unit == "steps") steps_ = number;
    if (unit == "epoch") epochs_ = number;
  }
  if (seconds_ == 0 && steps_ == 0 && epochs_ == 0)
    throw UserError(
        "checkpoint.every = \"{}\" is not an interval; write \"10min\", \"500steps\", \"1epoch\" "
        "or \"end\"",
        every);
}

}  // namespace lockstep::train
