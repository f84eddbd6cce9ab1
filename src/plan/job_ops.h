// A program's rows as a job has them.
#pragma once
#include "lockstep/plan/job.h"

namespace lockstep::plan {

JobOp job_op(nn::OpCost cost);

}  // namespace lockstep::plan
