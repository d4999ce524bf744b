#!/bin/bash
# A run over a corpus on one or many nodes of Slurm, as one job that is requeued until it is done:
#
#   sbatch --nodes=4 --gres=gpu:8 --cpus-per-task=64 deploy/slurm/submit.sh corpus.jsonl --out /shared/runs cluster.preset=gpu8
#
# What follows the script is a `tam-dist run`'s words. A Ray head and its workers start on the allocation, and end with it. Five
# minutes before the time limit, and where the job is preempted or cancelled, the chunks under way are finished and saved; the job
# then queues again and goes on (cancelled, it does not). On one node Ray is left to tam-dist itself.
#
# Of your site, by options of sbatch: account, partition, time. TAM_DIST_ENV in the environment is a virtual environment on shared
# storage. The script itself runs on the first node, and so do the head and the driver.

#SBATCH --job-name=tam-dist
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --time=08:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=tam-dist-%j.log

set -euo pipefail

[ -z "${TAM_DIST_ENV:-}" ] || export PATH="$TAM_DIST_ENV/bin:$PATH"

# Each job's ports are its own, should two share a node.
port=$((20000 + SLURM_JOB_ID % 10000))
export RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0 RAY_free_objects_period_milliseconds=100
export PYTHONUNBUFFERED=1 TAM_DIST_LOG_FORMAT="${TAM_DIST_LOG_FORMAT:-text}"

start_ray() { # a head here, a worker on each other node
    local here others address
    here=$(hostname --short)
    mapfile -t others < <(scontrol show hostnames "$SLURM_JOB_NODELIST" | grep --invert-match --line-regexp "${SLURMD_NODENAME:-$here}")
    address=$(hostname --ip-address | awk '{print $1}')
    umask 077
    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
    RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n') # anybody on the network could run code otherwise
    export RAY_ADDRESS="$address:$port"
    # Ray counts a node's CPUs and GPUs itself, and would take those of others: these are the job's.
    local own=(--block --num-cpus="${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}" --disable-usage-stats)
    [ -z "${SLURM_GPUS_ON_NODE:-}" ] || own+=(--num-gpus="$SLURM_GPUS_ON_NODE")
    ray start --head --node-ip-address="$address" --port="$port" --include-dashboard=false "${own[@]}" &
    until ray health-check --address "$RAY_ADDRESS" 2>/dev/null; do sleep 2; done
    local node
    for node in "${others[@]}"; do
        srun --nodes=1 --ntasks=1 --nodelist="$node" ray start --address="$RAY_ADDRESS" "${own[@]}" &
    done
    until [ "$(ray status 2>/dev/null | grep --count '^ 1 node_')" -ge "$SLURM_JOB_NUM_NODES" ]; do sleep 2; done
}

stopping=
stop() { # the driver finishes the chunks under way
    stopping=$1
    echo "stopping: $1"
    [ -z "${driver:-}" ] || kill -TERM "$driver" 2>/dev/null || true
}
trap 'stop "the time limit is near"' USR1
trap 'stop cancelled' TERM

[ "${SLURM_JOB_NUM_NODES:-1}" -eq 1 ] || start_ray
tam-dist run "$@" --executor ray &
driver=$!
[ -z "$stopping" ] || kill -TERM "$driver"
# A trapped signal ends `wait`, though not what is waited for.
code=0
wait "$driver" || code=$?
while kill -0 "$driver" 2>/dev/null; do
    code=0
    wait "$driver" || code=$?
done

# 3: all is done but what failed, which another try would not mend.
if [ "$stopping" = "the time limit is near" ] && [ "$code" -ne 0 ] && [ "$code" -ne 3 ]; then
    echo "to be continued: requeueing job $SLURM_JOB_ID"
    scontrol requeue "$SLURM_JOB_ID"
    exec sleep 120 # that ends the script; an exit of its own might count as the job's
fi
exit "$code"
