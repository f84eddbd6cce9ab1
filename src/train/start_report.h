// What is said at start: one aligned table of what is in force, the ledger's rows, the table of
// ops.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lockstep/comm/communicator.h"
#include "lockstep/train/run.h"
#include "lockstep/train/tables.h"
#include "train/session.h"

namespace lockstep::train {

std::string start_text(const comm::Communicator& communicator, const Run& run,
                       const Session& session);
std::vector<LedgerRow> ledger_rows(const std::vector<nn::LedgerRow>& rows);
std::uint64_t ledger_total(const std::vector<nn::LedgerRow>& rows);
std::string program_text(const nn::Program& program);

}  // namespace lockstep::train
