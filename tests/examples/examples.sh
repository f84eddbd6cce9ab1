#!/usr/bin/env bash
# Every file in examples/, and the kinds of run that no example shows, on small data under mpirun.
# Arguments: the program, scripts/mpirun.sh, a work folder, the case, for case `example` its file.
set -euo pipefail
program=$1 mpirun=$2 work=$3 case=$4 example=${5:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
status=0
[ -z "$example" ] || case=$case.$(basename "$example" .toml)
# shellcheck source=../failures/steps.sh
source "$here/../failures/steps.sh"
# shellcheck source=cases.sh
source "$here/cases.sh"
case=${case%%.*}
declare -F "case_$case" > /dev/null || { echo "no case '$case'" >&2; exit 2; }
"case_$case"
