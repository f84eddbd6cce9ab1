// Runs the real program, alone or under mpirun, and keeps what it said.
#pragma once
#include <filesystem>
#include <string>

namespace lockstep::app_tests {

struct Outcome {
  int code = -1;  // exit code; 128 + signal number if a signal ended it
  std::string out, err;
};

// A folder of this test program that goes when it ends; commands run in it.
const std::filesystem::path& folder();
void write(const std::string& name, const std::string& text);

// `arguments` as a shell takes them. ranks 0: without mpirun.
Outcome lockstep(const std::string& arguments, int ranks = 0);
Outcome shell(const std::string& command);

// A dataset file of 600 samples, made by `lockstep import`.
const std::string& dataset();
// A run file of that dataset that trains in a moment.
const std::string& run_file();

int count(const std::string& text, const std::string& part);

}  // namespace lockstep::app_tests
