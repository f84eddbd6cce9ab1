#!/usr/bin/env bash
# Run on each node when a job has ended there. Must not fail: that would take the node out of service.
LAB=${0%/etc/*}
[[ -n ${SLURMD_NODENAME-} && -n ${SLURM_JOB_ID-} ]] || exit 0

# Without cgroups, Slurm loses sight of a process whose parent has ended. Such a left-over still has the
# environment that Slurm gave to this job on this node (as has, in part, this script). Record it, as the task
# prolog does, and end it.
has() { grep -qszxF -e "$1" "$file"; }  # the entries in an environ file end in NUL
while read -r file; do
  has "SLURM_JOB_ID=$SLURM_JOB_ID" || continue
  has "SLURMD_NODENAME=$SLURMD_NODENAME" || continue
  has "SLURM_SCRIPT_CONTEXT=$SLURM_SCRIPT_CONTEXT" && continue
  pid=${file//[!0-9]/}
  { read -r stat < "/proc/$pid/stat"; } 2> /dev/null || continue
  read -r -a stat <<< "${stat##*) }"
  echo "$pid ${stat[19]} left-over-$SLURM_JOB_ID-$SLURMD_NODENAME" >> "$LAB/run/steps"
  kill -KILL "$pid" 2> /dev/null
done < <(grep -lszxF -e "SLURM_CONF=$LAB/etc/slurm.conf" /proc/[0-9]*/environ)

rm -rf -- "$LAB/tmp/$SLURMD_NODENAME/job-$SLURM_JOB_ID" 2> /dev/null
exit 0
