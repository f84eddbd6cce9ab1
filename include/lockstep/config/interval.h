// Times as run files and the command line write them. Knows no key.
#pragma once
#include <string>

namespace lockstep::config {

// "90s", "3min", "2h", "1d" in seconds (UserError naming `key` on anything else), and the text in
// the largest unit that holds them whole.
double duration(const std::string& key, const std::string& text);
std::string duration_text(double seconds);

}  // namespace lockstep::config
