#!/bin/bash
# A run over a corpus on one or many nodes of Slurm, as one job that is requeued until it is done:
#
#   sbatch --nodes=4 --gres=gpu:8 --cpus-per-task=64 deploy/slurm/submit.sh corpus.jsonl --out /shared/runs cluster.preset=gpu8
#
# What follows the script is a `tam-dist run`'s words. A Ray head and its workers start on the allocation, and end with it. Five
# minutes before the time limit, and where the job is preempted or cancelled, the chunks under way are finished and saved; the job
# then queues again and goes on (cancelled, it does not). On one node Ray is left to tam-dist itself.
#
# Of your site, by options of sbatch or the environment: account, partition, time; TAM_DIST_ENV, a virtual environment on shared
# storage; TAM_DIST_IMAGE, an image that srun starts in (--container-image, of Pyxis).

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

: "${TAM_DIST_ENV:=}" "${TAM_DIST_IMAGE:=}"
[ -z "$TAM_DIST_ENV" ] || export PATH="$TAM_DIST_ENV/bin:$PATH"

# Each job's ports are its own, should two share a node.
port=$((20000 + SLURM_JOB_ID % 10000))
export RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0 RAY_free_objects_period_milliseconds=100
export PYTHONUNBUFFERED=1 TAM_DIST_LOG_FORMAT="${TAM_DIST_LOG_FORMAT:-text}"

nodes=()
on_node() { # NODE COMMAND…: a step of the job; --overlap, since the head's node also runs the driver
    local node=$1
    shift
    srun --nodes=1 --ntasks=1 --overlap --nodelist="$node" ${TAM_DIST_IMAGE:+--container-image="$TAM_DIST_IMAGE"} "$@"
}

start_ray() { # on several nodes: a head, then a worker on each other one
    mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
    local head=${nodes[0]}
    local address
    address=$(on_node "$head" hostname --ip-address | awk '{print $1}')
    umask 077
    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
    RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n') # anybody on the network could run code otherwise
    export RAY_ADDRESS="$address:$port"
    # Ray counts a node's CPUs and GPUs itself, and would take those of others: these are the job's.
    local own=(--block --num-cpus="${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}" --disable-usage-stats)
    [ -z "${SLURM_GPUS_ON_NODE:-}" ] || own+=(--num-gpus="$SLURM_GPUS_ON_NODE")
    on_node "$head" ray start --head --node-ip-address="$address" --port="$port" --include-dashboard=false "${own[@]}" &
    for node in "${nodes[@]:1}"; do
        on_node "$node" ray start --address="$RAY_ADDRESS" "${own[@]}" &
    done
    until on_node "$head" ray health-check --address "$RAY_ADDRESS" 2>/dev/null; do sleep 2; done
}

stopping=
stop() { # finish the chunks under way; the driver does it where it gets SIGTERM, and srun hands it on
    stopping=$1
    echo "stopping: $1"
    [ -z "${driver:-}" ] || kill -TERM "$driver" 2>/dev/null || true
}
trap 'stop "the time limit is near"' USR1
trap 'stop cancelled' TERM

executor=auto
if [ "${SLURM_JOB_NUM_NODES:-1}" -gt 1 ]; then
    start_ray
    driver_node=${nodes[0]}
else
    driver_node=$SLURMD_NODENAME
    executor=ray
fi

on_node "$driver_node" tam-dist run "$@" --executor "$executor" &
driver=$!
# A trapped signal ends `wait`, though not what is waited for.
code=0
wait "$driver" || code=$?
while kill -0 "$driver" 2>/dev/null; do
    code=0
    wait "$driver" || code=$?
done

# 130, or 143 of an srun that was told to end: stopped and saved.
if [ "$stopping" = "the time limit is near" ] && [ "$code" -ne 0 ] && [ "$code" -ne 3 ]; then
    echo "to be continued: requeueing job $SLURM_JOB_ID"
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$code"
