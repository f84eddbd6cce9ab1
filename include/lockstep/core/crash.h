// Signals that end this process because something is broken: one sentence says which rank, in what
// and where its events are, before they do what they would have done without.
#pragma once
#include <csignal>
#include <string>

namespace lockstep::crash {

// For SIGSEGV, SIGBUS, SIGFPE and SIGABRT. `who`: "rank 1 (host n7)".
void install(const std::string& who);

// A thread that blocks all signals must leave these: the kernel ends the process without a word.
void leave_open(sigset_t& blocked);

}  // namespace lockstep::crash
