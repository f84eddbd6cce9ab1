#!/usr/bin/env bash
# Run before every task (a batch script counts as one) by the process that becomes the task. A printed line
# "export NAME=VALUE" enters the environment of the task. Must not fail: that would fail the task.
LAB=${0%/etc/*}

# Record the task (the parent of this script) and its slurmstepd (the parent of that) for `lab down`: lines
# of "PID START NAME", as in run/daemons.
record() {
  local stat
  read -r stat < "/proc/$1/stat" || return
  read -r -a stat <<< "${stat##*) }"
  echo "$1 ${stat[19]} $2-$SLURM_JOB_ID-$SLURMD_NODENAME" >> "$LAB/run/steps"
  parent=${stat[1]}
}
{ record "$PPID" task && record "$parent" slurmstepd; } 2> /dev/null

# A TMPDIR for each job and node, unless the job has chosen one. (A path in $LAB came with srun from another
# node.) With /tmp for all, two mpiruns that start at the same moment sometimes fail, because both make
# /tmp/ompi.HOST.UID.
if [[ -z ${TMPDIR-} || $TMPDIR == /tmp || $TMPDIR == "$LAB"/* ]]; then
  tmpdir=$LAB/tmp/$SLURMD_NODENAME/job-$SLURM_JOB_ID
  mkdir -p "$tmpdir" 2> /dev/null && echo "export TMPDIR=$tmpdir"
fi

while IFS='=' read -r name value; do
  [[ -v $name ]] || echo "export $name=$value"
done < "$LAB/etc/site-env"
exit 0
