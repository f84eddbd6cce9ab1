// What the program says. Rank 0 speaks; the others are silent (comm sets that at start).
#pragma once
#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <utility>

namespace lockstep::log {

void set_speaker(bool speaks);  // false on every rank but 0
void set_quiet(bool quiet);     // --quiet: only warnings and errors
bool speaks();
bool quiet();
// Whether a person sees the stream; under mpirun, whether one sees mpirun's.
bool is_terminal(std::FILE* stream);
bool color();                   // a terminal, and NO_COLOR is unset

void line(const std::string& text);     // stdout
void warning(const std::string& text);  // stderr, "lockstep: warning: ..."
void error(const std::string& text);    // stderr, "lockstep: ...", also from a silent rank

template <class... A>
void info(fmt::format_string<A...> format, A&&... a) {
  if (speaks() && !quiet()) line(fmt::format(format, std::forward<A>(a)...));
}
template <class... A>
void warn(fmt::format_string<A...> format, A&&... a) {
  if (speaks()) warning(fmt::format(format, std::forward<A>(a)...));
}

}  // namespace lockstep::log
