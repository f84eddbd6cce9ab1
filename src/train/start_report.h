// What is said at start: one aligned table of what is in force, the ledger's rows, the table of
// ops.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/train/run.h"
#include "lockstep/train/tables.h"
#include "train/session.h"

namespace lockstep::train {

std::vector<std::pair<std::string, std::string>> start_rows(const comm::Communicator& communicator,
                                                            const Run& run, const Session& session,
                                                            const std::string& device);
// apart: the device has memory of its own.
std::vector<LedgerRow> ledger_rows(const std::vector<nn::LedgerRow>& rows, bool apart);
std::string program_text(const nn::Program& program);

}  // namespace lockstep::train
