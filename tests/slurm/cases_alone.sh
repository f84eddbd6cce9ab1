# Jobs that must not be started again: mistakes, bad data, runs that save nothing. Sourced by slurm.sh.
# shellcheck shell=bash disable=SC2154

refused() {  # NAME, pattern: job ended with code 2, at its first start
  ends "$job" FAILED 2 0
  says "$1" "$2"
  says_not "$1" 'back to the queue'
  echo "ok: $1: $(grep -E -- "$2" "$1.out" | head -n 1)"
}
case_mistakes() {
  submit nothing train --
  refused nothing 'no run file was named'
  submit no-file train -- nowhere.toml
  refused no-file "no run file 'nowhere.toml'"
  submit_run no-key -- --set train.btch=3
  refused no-key 'did you mean train\.batch'
  submit_run no-data -- --set data.path=nowhere.h5
  refused no-data 'cannot open the data file nowhere\.h5'
  LOCKSTEP_LAUNCHER=pbs submit_run launcher
  refused launcher "srun or mpirun, not 'pbs'"
  LOCKSTEP_MPI=pmi7 submit_run type
  refused type "no MPI type 'pmi7'"
  LOCKSTEP=nowhere submit_run program
  refused program "no program 'nowhere'"
  LOCKSTEP_BIND=sockets submit_run bind
  refused bind "cores or none, not 'sockets'"
  LOCKSTEP_TRIES=few submit_run retries
  refused retries "a number from 1, not 'few'"
  LOCKSTEP_LAUNCHR=mpirun submit_run misspelt -- --set train.btch=3
  refused misspelt 'LOCKSTEP_LAUNCHR means nothing here'
}

# Data that cannot be trusted stays so.
case_bad_data() {
  head -c 60000 "$work/small.h5" > cut.h5
  submit_run cut -- --set data.path="$PWD/cut.h5"
  ends "$job" FAILED 3 0
  says_not cut 'back to the queue'
}

# Nothing saved, nothing to go on from: said at the start, and again at the end.
case_no_folder() {
  LOCKSTEP_FAULT=$slow submit_run none -- --set checkpoint.dir=
  until_true 60 "the run begins" grep -qs 'ranks on 1 node' none.out
  sleep 1
  scancel --batch --signal=USR1 "$job"
  ends "$job" FAILED '[0-9]+' 0
  says none 'warning: checkpoint\.dir is not set'
  says none 'without checkpoint\.dir: not started again'
}

# A job that may not be requeued says so; the same command goes on.
case_no_requeue() {
  LOCKSTEP_FAULT=$slow submit_run once --no-requeue
  saves once
  scancel --batch --signal=USR1 "$job"
  ends "$job" FAILED 75 0
  says once 'this job cannot be requeued'
  mv once.out first.out
  submit_run once --no-requeue
  ends "$job" COMPLETED 0 0
  has_digest once
}
