# What the lab's daemons read: ports, namespaces, the jobs' environment, slurm.conf and what lies beside it.
# Sourced by lab.
# shellcheck shell=bash disable=SC2034,SC2153

# port_range_is_free FIRST COUNT: nobody listens on these loopback ports.
port_range_is_free() {
  local port
  for ((port = $1; port < $1 + $2; port++)); do
    # Connecting succeeds only if somebody listens.
    if (exec 3<> "/dev/tcp/$NODE_ADDRESS/$port") 2> /dev/null; then return 1; fi
  done
}

choose_ports() {
  local try
  ((PORT == 0)) || return 0  # SLURM_LAB_PORT
  for ((try = 0; try < 50; try++)); do
    PORT=$((20000 + RANDOM % 10000))  # below the kernel's range for clients
    if port_range_is_free "$PORT" $((NODES + 1)); then return; fi
  done
  die "found no $((NODES + 1)) free consecutive ports; set SLURM_LAB_PORT"
}

namespaces_work() {
  local NAMESPACES=yes
  [[ $(with_host "$LOGIN_HOST" getent ahosts "$LOGIN_HOST" 2> /dev/null) == "$NODE_ADDRESS "* ]]
}

# Slurm binds to the address of its host name (CommunicationParameters, below) and
# answers to the address a connection comes from, 127.0.0.1. They have to agree.
own_name_is_loopback() {
  [[ $(getent ahosts "$(hostname)" 2> /dev/null) == "$NODE_ADDRESS "* ]]
}

choose_namespaces() {
  local wish=${SLURM_LAB_NAMESPACES:-auto}
  case $wish in
    auto | yes | no) ;;
    *) die "SLURM_LAB_NAMESPACES must be auto, yes or no" ;;
  esac
  NAMESPACES=no
  if [[ $wish != no ]] && namespaces_work; then
    NAMESPACES=yes
  elif [[ $wish == yes ]]; then
    die "may not create UTS and mount namespaces here"
  elif ! own_name_is_loopback; then
    die "without namespaces, this machine's host name must resolve to $NODE_ADDRESS;" \
      "add the line '$NODE_ADDRESS $(hostname)' at the top of /etc/hosts"
  fi
}

# The environment that a cluster's administrator would give every job, one NAME=VALUE
# a line; the task prolog sets what the job has not set itself, for batch scripts as
# well as for srun's tasks, and `exec` does likewise.
site_env() {
  # mpirun refuses to run as root otherwise (srun does not ask).
  if [[ $EUID == 0 ]]; then
    echo OMPI_ALLOW_RUN_AS_ROOT=1
    echo OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  fi
  # Shared memory within a node and TCP between nodes; look for no fabrics. Without
  # namespaces, TCP alone: the names of Open MPI's shared memory files hold the host
  # name and the rank within the node, and those of two nodes would be the same.
  echo OMPI_MCA_pml=ob1
  if [[ $NAMESPACES == yes ]]; then
    echo OMPI_MCA_btl=self,vader,tcp
  else
    echo OMPI_MCA_btl=self,tcp
  fi
  # Debian's default, "^ucx,pt2pt", leaves nothing for one-sided operations over TCP.
  echo OMPI_MCA_osc=^ucx
  # By default Open MPI uses every interface but the loopback one.
  echo OMPI_MCA_btl_tcp_if_include=lo
  echo OMPI_MCA_oob_tcp_if_include=lo
  # The default, CMA, needs ptrace rights that containers often withhold.
  echo OMPI_MCA_btl_vader_single_copy_mechanism=none
  # More tasks than cores is the normal case here: do not pin tasks to cores, let a
  # waiting task give up its core (else a collective that takes microseconds takes
  # tens of milliseconds), and let `mpirun -n` exceed the allocation's slots.
  echo OMPI_MCA_hwloc_base_binding_policy=none
  echo OMPI_MCA_mpi_yield_when_idle=1
  echo OMPI_MCA_rmaps_base_oversubscribe=1
}

# The two scripts that slurmd runs around a job's processes find the lab by their own path.
write_job_scripts() {
  install -m 755 "$HERE/lab_task_prolog.sh" "$DIR/etc/task-prolog"
  install -m 755 "$HERE/lab_epilog.sh" "$DIR/etc/epilog"
}

write_gres_conf() {
  local gpu
  mkdir "$DIR/gpu"
  ((GPUS)) || { : > "$DIR/etc/gres.conf"; return; }
  # Slurm drops a GPU without a device file, refuses one that is no device, and takes
  # the index in CUDA_VISIBLE_DEVICES from the number that ends the file's name. A
  # link to /dev/null meets all of that, and nothing ever opens it.
  for ((gpu = 0; gpu < GPUS; gpu++)); do ln -s /dev/null "$DIR/gpu/fake$gpu"; done
  echo "Name=gpu File=$DIR/gpu/fake[0-$((GPUS - 1))] Flags=nvidia_gpu_env" > "$DIR/etc/gres.conf"
}

write_slurm_conf() {
  local i user host gres=''
  user=$(id -un)
  host=$LOGIN_HOST
  [[ $NAMESPACES == yes ]] || host=$(hostname)
  if ((GPUS)); then gres=" Gres=gpu:$GPUS"; fi
  cat > "$DIR/etc/slurm.conf" << EOF
# Written by $PROGRAM; 'man slurm.conf' explains every option.
ClusterName=lab
SlurmctldHost=$host($NODE_ADDRESS)
SlurmctldPort=$PORT
SlurmUser=$user
SlurmdUser=$user

# munged of our own. cred_expire is also the time a requeued job has to wait.
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$DIR/run/munge.socket,cred_expire=$REQUEUE_DELAY

# Listen only where the own host name points, here always to 127.0.0.1. EnableIPv6 is
# for machines with no network but the loopback one, where glibc answers a program that
# asks for IPv4 alone that there is no such host; no IPv6 address is actually used.
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny,EnableIPv6

# Files. %n is the node's name, which TmpFS needs too: it is where the PMIx plugin
# makes a folder named after the job step, and the nodes share one file system.
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool/%n
TmpFS=$DIR/tmp/%n
SlurmctldPidFile=$DIR/run/slurmctld.pid
SlurmdPidFile=$DIR/run/slurmd-%n.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd-%n.log
PlugStackConfig=$DIR/etc/plugstack.conf
MailProg=/bin/true

# No cgroups: processes are followed through /proc, and tasks are not bound to CPUs
# (many of the advertised ones do not exist).
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
TaskProlog=$DIR/etc/task-prolog
Epilog=$DIR/etc/epilog
SwitchType=switch/none
MpiDefault=pmix

# CPUs, memory and GPUs are allocated one by one; several jobs can share a node.
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=$((MEMORY / CPUS))
GresTypes=gpu
# Believe the node lines below rather than the hardware.
SlurmdParameters=config_overrides
ReturnToService=2

# React fast, for tests: plan every few seconds, kill 5 s after SIGTERM, and show
# finished jobs in 'scontrol show job' for an hour in place of sacct (no database).
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
KillWait=5
MinJobAge=3600
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
AccountingStorageType=accounting_storage/none
# One line for each job that ended ('sacct --completion' reads it, too).
JobCompType=jobcomp/filetxt
JobCompLoc=$DIR/log/jobcomp.log

# Jobs in a partition of a higher tier may push out those of a lower one.
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal

EOF
  for ((i = 1; i <= NODES; i++)); do
    echo "NodeName=n$i NodeAddr=$NODE_ADDRESS Port=$((PORT + i)) CPUs=$CPUS Boards=1" \
      "SocketsPerBoard=1 CoresPerSocket=$CPUS ThreadsPerCore=1 RealMemory=$MEMORY$gres"
  done >> "$DIR/etc/slurm.conf"
  cat >> "$DIR/etc/slurm.conf" << EOF

PartitionName=DEFAULT Nodes=n[1-$NODES] DefaultTime=60 MaxTime=INFINITE State=UP
PartitionName=debug PriorityTier=10 PreemptMode=OFF Default=YES
PartitionName=gpu PriorityTier=10 PreemptMode=OFF
PartitionName=scavenge PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
EOF
  # slurmd loads the cgroup plugin even if nothing uses it. This one starts on any
  # machine, with or without cgroups.
  echo 'CgroupPlugin=cgroup/v1' > "$DIR/etc/cgroup.conf"
  : > "$DIR/etc/plugstack.conf"
  # Slurm's PMIx plugin runs a fence without data as a tree of TreeWidth (50). With
  # fewer nodes than that the tree is empty, and the fence waits for nobody on other
  # nodes (reverse_tree_info() in Slurm's source). MPI_Init ends in such a fence:
  # on a busy machine, about one multi-node srun in a hundred crashed there.
  echo 'PMIxCollFence=ring' > "$DIR/etc/mpi.conf"
}

# The namespace's /etc/hosts: the cluster first, then what the machine has.
write_hosts() {
  local i
  {
    echo "127.0.0.1 localhost"
    echo "::1 localhost ip6-localhost ip6-loopback"
    echo "$NODE_ADDRESS $LOGIN_HOST"
    for ((i = 1; i <= NODES; i++)); do echo "$NODE_ADDRESS n$i"; done
    cat /etc/hosts 2> /dev/null || true
  } > "$DIR/etc/hosts"
}
