// Machine files (docs/machines.md): what the plan knows of a machine, from TOML. Some come with the
// program, by name. Knows no plan.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lockstep/plan/machine.h"

namespace lockstep::config {

// A comma-separated list of files and names of machines that come with the program, such as
// "a100-40gb,nvlink3,ib-hdr" or "machine.toml"; later ones take the place of what earlier ones said
// (plan::merged). Throws UserError: for a name the nearest one and all that there are; for what a
// file says file, line and the nearest known key, type and range.
plan::Machine read_machine(const std::string& list);
plan::Machine parse_machine(const std::string& toml, const std::string& name);

struct ShippedMachine {
  std::string name;  // "a100-40gb"
  std::string_view toml;
};
const std::vector<ShippedMachine>& shipped_machines();  // by name
// "a100-40gb (NVIDIA A100 SXM 40 GB), ...": for --help and for errors.
std::string shipped_machines_text();

}  // namespace lockstep::config
