#!/usr/bin/env bash
# One case of bad input or bad luck on the real program: the exit code, one sentence with what to try,
# no hang, and an intact last checkpoint. Arguments: the program, scripts/mpirun.sh, a work folder, the case.
set -euo pipefail
program=$1 mpirun=$2 work=$3 case=$4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
status=0
# shellcheck source=steps.sh
source "$here/steps.sh"
for cases in data text run_file ranks policies checkpoint signals usage restart events; do
  # shellcheck source=/dev/null
  source "$here/cases_$cases.sh"
done
declare -F "case_$case" > /dev/null || { echo "no case '$case'" >&2; exit 2; }
"case_$case"
