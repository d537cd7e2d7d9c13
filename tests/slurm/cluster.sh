#!/bin/bash
# A real SLURM of virtual nodes on this host, for tests: slurmctld, one slurmd a node, munged.
#
#   cluster.sh start DIR   start it and return once every node is idle
#   cluster.sh stop DIR    end its jobs and its daemons, whoever started them
#   cluster.sh hold DIR    start, print "ready"; when stdin ends or says a line, stop and clean up
#
# All it writes lies below DIR; what an earlier start left there is ended and removed.
# Clients need SLURM_CONF=DIR/slurm.conf and DIR/bin first on PATH.
# Needs root and bash, grep, awk, and: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge
set -euo pipefail
case "${1:-} ${2:-}" in "start "?* | "stop "?* | "hold "?*) ;; *) sed -n '2,11s/^# \?//p' "$0"; exit 2 ;; esac
mkdir -p "$2"
DIR=$(cd "$2" && pwd -P)
export SLURM_CONF=$DIR/slurm.conf PATH=$PATH:/usr/sbin:/sbin

PORT=${SLURM_TEST_PORT:-16817}                    # this one and the next NODES + 1
NODES=${SLURM_TEST_NODES:-4}                      # n1, n2, …: 2 CPUs and 2 pretend GPUs each
MAX_ARRAY=${SLURM_TEST_MAX_ARRAY_SIZE:-1001}      # the first array index that is refused
MIN_JOB_AGE=${SLURM_TEST_MIN_JOB_AGE:-86400}      # seconds for which an ended job is remembered
GRACE=${SLURM_TEST_GRACE:-20}                     # seconds from pre-emption's warning to its end
ACCOUNTING=${SLURM_TEST_ACCOUNTING:-memory}       # memory: a stand-in sacct; none: no sacct

write_configuration() {
  local host
  host=$(uname -n)
  host=${host%%.*}
  cat >"$DIR/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$PORT
SlurmUser=root
AuthType=auth/munge
# A job can start again this long after it was requeued; the usual 120 s would be a long test.
AuthInfo=socket=$DIR/run/munge.sock,cred_expire=5
# No cgroups: a job's processes are found as children of its slurmstepd.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
MaxArraySize=$MAX_ARRAY
MinJobAge=$MIN_JOB_AGE
OverTimeLimit=0
KillWait=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
# Without this, pre-emption sends SIGTERM where the job asked for --signal=USR2.
SlurmctldParameters=preempt_send_user_signal
GresTypes=gpu
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool/%n
SlurmctldPidFile=$DIR/run/slurmctld.pid
SlurmdPidFile=$DIR/run/slurmd.%n.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd.%n.log
NodeName=n[1-$NODES] NodeHostname=$host NodeAddr=127.0.0.1 Port=$((PORT + 1))-$((PORT + NODES)) CPUs=2 RealMemory=64000 Gres=gpu:2
NodeName=c1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$((PORT + NODES + 1)) CPUs=2 RealMemory=64000
PartitionName=low Nodes=n[1-$NODES] Default=YES DefaultTime=60 PriorityTier=1 PreemptMode=REQUEUE GraceTime=$GRACE
PartitionName=high Nodes=n[1-$NODES] DefaultTime=60 PriorityTier=10 PreemptMode=OFF
PartitionName=cpu Nodes=c1 DefaultTime=60 PriorityTier=1 PreemptMode=OFF
CONF
  # GPUs must be character devices; their numbers become CUDA_VISIBLE_DEVICES.
  echo "NodeName=n[1-$NODES] Name=gpu File=/dev/null,/dev/zero" >"$DIR/gres.conf"
  echo "IgnoreSystemd=yes" >"$DIR/cgroup.conf"
}

write_sacct() {
  cat >"$DIR/bin/sacct" <<'SACCT'
#!/bin/bash
# Stands in for sacct where no database runs: answers from slurmctld's memory, sacct's words.
jobs= header=1 fields=JobID,State,NodeList
while [ $# -gt 0 ]; do
  case $1 in
    -j | --jobs) jobs+=,$2; shift ;;
    --jobs=*) jobs+=,${1#*=} ;;
    -o | --format) fields=$2; shift ;;
    --format=*) fields=${1#*=} ;;
    -*n* | --noheader) case $1 in --noheader | -[nPpX]*) header= ;; esac ;;
  esac
  shift
done
declare -A letter=([jobid]=%i [jobidraw]=%A [state]=%T [nodelist]=%N [jobname]=%j [partition]=%P)
format=
for field in ${fields//,/ }; do format+="|${letter[${field,,}]-}"; done
[ -z "$header" ] || echo "${fields//,/|}"
[ -z "$jobs" ] ||
  squeue --noheader --states=all --format="${format#|}" --jobs="${jobs#,}" 2>/dev/null |
  sed -E 's/(^|\|)CANCELLED(\||$)/\1CANCELLED by 0\2/; s/(^|\|)COMPLETING(\||$)/\1RUNNING\2/'
exit 0
SACCT
  chmod +x "$DIR/bin/sacct"
}

clean() {
  rm -rf "$DIR"/{bin,log,run,spool,state,slurm.conf,gres.conf,cgroup.conf}
}

start() {
  stop # a folder left behind may have daemons that still run
  clean
  mkdir -p "$DIR"/{bin,log,run,spool,state}
  write_configuration
  [ "$ACCOUNTING" != memory ] || write_sacct
  (umask 077 && head -c 1024 /dev/urandom >"$DIR/run/munge.key")
  # --force: a temporary folder is often closed to others, which munged would refuse.
  munged --force --key-file="$DIR/run/munge.key" --socket="$DIR/run/munge.sock" \
    --pid-file="$DIR/run/munged.pid" --log-file="$DIR/log/munged.log" --seed-file="$DIR/run/munge.seed" 2>>"$DIR/log/munged.log"
  slurmctld
  local node
  for node in $(seq -f 'n%g' "$NODES") c1; do
    mkdir -p "$DIR/spool/$node"
    slurmd -N "$node"
  done
  while [ "$SECONDS" -lt 15 ]; do
    [ "$(timeout 5 sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)" = $((NODES + 1)) ] && return
    sleep 0.05
  done
  # A daemon that gave up says why; otherwise whatever went wrong, but for an optional plug-in.
  { grep -h 'fatal:' "$DIR"/log/*.log || grep -hi 'error:' "$DIR"/log/*.log | grep -v pmix | sort | tail -n 4; } >&2 || true
  stop
  return 1
}

# The daemons of this DIR and all processes of its jobs, without trusting pid files of old times.
# Jobs inherit SLURM_CONF too; a shell in which a person exported it is neither daemon nor job.
members() {
  local environ pid known
  known=$(
    for environ in $(grep -lszFx -e "SLURM_CONF=$SLURM_CONF" /proc/[0-9]*/environ); do
      pid=${environ//[^0-9]/}
      case $(cat "/proc/$pid/comm" 2>/dev/null) in
        munged | slurmctld | slurmscriptd | slurmd | slurmstepd | srun) echo "$pid" ;;
        *) ! grep -qsz '^SLURM_JOB_ID=' "$environ" || echo "$pid" ;;
      esac
    done
  )
  # Their children too: a job may have cleared its environment.
  [ -z "$known" ] || { cat /proc/[0-9]*/status 2>/dev/null || true; } | awk -v known="${known//$'\n'/ }" '
    $1 == "Pid:" { pid = $2 }
    $1 == "PPid:" { parent[pid] = $2 }
    END {
      split(known, start, " "); for (i in start) member[start[i]] = 1
      for (pid in parent) for (p = pid; p > 1; p = parent[p]) if (p in member) { print pid; break }
    }'
}

stop() {
  local pids
  for _ in $(seq 50); do
    pids=$(members)
    [ -n "$pids" ] || return 0
    # What was running is thrown away, so nothing is asked to end in good order.
    kill -KILL $pids 2>/dev/null || true
    sleep 0.02
  done
  echo "cluster.sh: still running: $pids" >&2
  return 1
}

case $1 in
  start) start ;;
  stop) stop ;;
  hold)
    trap 'stop && clean && { rmdir "$DIR" 2>/dev/null || true; }' EXIT
    trap 'exit 1' HUP INT TERM
    start >&2
    echo ready
    read -r _ || true
    ;;
esac
