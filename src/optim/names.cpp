// Names of optimizers and schedules, as run files write them.
#include <array>

#include "lockstep/core/error.h"
#include "lockstep/optim/optimizer.h"

namespace lockstep::optim {
namespace {

constexpr std::array<std::string_view, 4> kKinds = {"sgd", "adam", "adamw", "lamb"};
constexpr std::array<std::string_view, 5> kSchedules = {"constant", "step", "linear", "cosine",
                                                        "inverse_sqrt"};

}  // namespace

Kind kind_from(std::string_view name) {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (kKinds[i] == name) return static_cast<Kind>(i);
  }
  throw UserError("'{}' is not an optimizer; use sgd, adam, adamw or lamb", name);
}

Schedule schedule_from(std::string_view name) {
  for (std::size_t i = 0; i < kSchedules.size(); ++i) {
    if (kSchedules[i] == name) return static_cast<Schedule>(i);
  }
  throw UserError("'{}' is not a schedule; use constant, step, linear, cosine or inverse_sqrt",
                  name);
}

std::string_view name_of(Kind kind) { return kKinds[static_cast<std::size_t>(kind)]; }
std::string_view name_of(Schedule schedule) {
  return kSchedules[static_cast<std::size_t>(schedule)];
}

}  // namespace lockstep::optim
