// Asks a run to stop at the end of a step. SIGUSR1, SIGUSR2, SIGTERM and SIGINT only set a flag; a
// second SIGINT ends the program at once. Knows nothing of ranks: the trainer shares the flag.
#pragma once
#include <string>

namespace lockstep::train {

// As early as possible in a run that can save: what comes during its start is noted, too.
void install_signal_handlers();
bool stop_requested();
int stop_signal();                    // the first signal that came, or 0
std::string signal_name(int signal);  // "USR1"
void forget_stop_request();           // before another run in this process

}  // namespace lockstep::train
