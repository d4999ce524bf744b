#!/bin/bash
# A corpus in parts, each a job of its own that needs one node: for clusters where many small jobs start sooner than a large one.
#
#   sbatch --array=0-31 --gres=gpu:1 --cpus-per-task=8 deploy/slurm/submit_array.sh corpus.jsonl --out /shared/runs cluster.preset=gpu1
#
# Part N of M are the lines N, N+M, … of the corpus; its projects lie in OUT/part-N. More videos of a kind follow each other often,
# so that lines in turn make parts of about the same length. Each is requeued as submit.sh's job is. A part that failed goes again
# by `sbatch --array=N`; retry.sh lists those.

#SBATCH --job-name=tam-dist
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=tam-dist-%A_%a.log

set -euo pipefail

if [ $# -lt 3 ] || [ "$2" != --out ]; then
    echo "usage: sbatch --array=0-N submit_array.sh CORPUS.jsonl --out FOLDER [words of tam-dist run]" >&2
    exit 2
fi
corpus=$1
out=$3
shift 3
# How many parts there are is kept beside them: of a part that is sent again the array tells only its own number.
mkdir -p "$out"
parts=$(cat "$out/parts" 2>/dev/null || echo "$((SLURM_ARRAY_TASK_MAX + 1))")
(set -o noclobber; echo "$parts" > "$out/parts") 2>/dev/null || true

part=$(printf 'part-%05d' "$SLURM_ARRAY_TASK_ID")
# Beside the corpus, whose paths may be relative to it.
lines=$(dirname "$corpus")/.$(basename "$corpus" .jsonl)-$part.jsonl
awk -v part="$SLURM_ARRAY_TASK_ID" -v parts="$parts" 'NF && n++ % parts == part' "$corpus" > "$lines.$$"
mv "$lines.$$" "$lines"

# Slurm runs a copy of this script, somewhere else: the folder that submit.sh lies in is told by TAM_DIST_SLURM, else sbatch's own.
exec "${TAM_DIST_SLURM:-$SLURM_SUBMIT_DIR/deploy/slurm}/submit.sh" "$lines" --out "$out/$part" "$@"
